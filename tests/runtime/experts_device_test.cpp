// The experts on the devices: the smallest range runs on a side queue. A lazy simt queue runs work only when something waits for
// it, so a missing event between the two queues would be seen as NaN.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/common/philox.h"
#include "runtime/ops/ops.h"

namespace mome {
namespace {

struct Memory {
  Device& device;
  std::vector<void*> blocks;
  ~Memory() {
    device.synchronize();
    for (void* b : blocks) device.release(b);
  }
  Tensor filled(int64_t rows, int64_t cols, uint64_t stream, double scale) {
    std::vector<float> host(static_cast<size_t>(rows * cols));
    RandomStream random(3, 0, Purpose::kTest, stream);
    for (float& v : host) v = float(scale * random.normal());
    Tensor t{device.allocate(host.size() * 4), rows, cols, DType::kF32};
    blocks.push_back(t.data);
    device.upload(t.data, host.data(), t.bytes());
    return t;
  }
  std::vector<float> read(Tensor t) const {
    std::vector<float> host(static_cast<size_t>(t.count()));
    device.download(host.data(), t.data, t.bytes());
    return host;
  }
};

// y of three experts on 40 + 3 + 9 rows, and the gradients of x and of the second expert's first matrix for dy = y.
std::vector<std::vector<float>> run(Device& device) {
  constexpr int64_t kWidth = 12, kHidden = 20;
  Memory m{device, {}};
  Arena arena(device);
  Tape tape(arena);
  const Tensor x = m.filled(52, kWidth, 1, 1), dx = m.filled(52, kWidth, 2, 0);
  Var* input = tape.leaf(x, dx);
  std::vector<ExpertRange> ranges;
  int64_t begin = 0;
  for (int64_t count : {40, 3, 9}) {
    const uint64_t s = uint64_t(10 * count);
    const auto leaf = [&](int64_t rows, int64_t cols, uint64_t n) { return tape.leaf(m.filled(rows, cols, s + n, 0.3), m.filled(rows, cols, s + n, 0)); };
    ranges.push_back({begin, count, leaf(kHidden, kWidth, 1), leaf(1, kHidden, 2), leaf(kWidth, kHidden, 3), leaf(1, kWidth, 4)});
    begin += count;
  }
  Var* y = experts(tape, input, ranges, Gelu::kErf, false);
  std::vector<std::vector<float>> out = {m.read(y->value)};
  y->grad = y->value;  // as a loss leaves it
  const Tensor dw = ranges[1].fc1_weight->grad, db = ranges[2].fc2_bias->grad;
  tape.backward();
  out.push_back(m.read(dx));
  out.push_back(m.read(dw));
  out.push_back(m.read(db));
  return out;
}

TEST(ExpertsDevice, SideQueueIsOrderedByEvents) {
  const auto cpu = run(Device::host());
  const auto eager = run(*Device::simt({}));
  const auto lazy = run(*Device::simt({.seed = 3, .lazy = true}));
  EXPECT_EQ(eager, lazy);
  ASSERT_EQ(cpu.size(), eager.size());
  for (size_t k = 0; k < cpu.size(); ++k) {
    double largest = 0;
    for (float v : cpu[k]) largest = std::max(largest, double(std::fabs(v)));
    ASSERT_GT(largest, 0);
    for (size_t i = 0; i < cpu[k].size(); ++i) ASSERT_NEAR(eager[k][i], cpu[k][i], 2e-6 * largest) << k;
  }
}

}  // namespace
}  // namespace mome
