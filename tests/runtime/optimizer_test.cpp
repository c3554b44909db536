// Parameters and their optimiser: steps, skipped steps, averages; on the simt device the same as on
// the CPU.
#include "runtime/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/common/philox.h"

namespace mome {
namespace {

// Every rule of initial values, one frozen parameter, decays apart.
void declare(ParameterSet& p) {
  p.add("matrix", {37, 129}, Init::kTruncatedNormal, 0.02);
  p.add("frozen", {9, 7}, Init::kNormal, 0.5);
  p.add("bias", {129}, Init::kZeros);
  p.add("norm", {129}, Init::kOnes);
  p.add("table", {3, 2, 11}, Init::kUniform, 0.3);
  p.add("scale", {}, Init::kConstant, 2.6593);
  p[0].decay = 0.1;
  p[1].trained = false;
  p.allocate();
}

std::vector<char> bytes_of(const ParameterSet& p, const void* arena, DType dtype) {
  std::vector<char> out(size_t(p.count()) * size_of(dtype));
  p.device().download(out.data(), arena, out.size());
  return out;
}
std::vector<float> floats_of(const ParameterSet& p, const void* arena) {
  std::vector<float> out(static_cast<size_t>(p.count()));
  p.device().download(out.data(), arena, out.size() * sizeof(float));
  return out;
}

// Made-up gradients of the trained parameters; padding stays zero.
void write_gradients(ParameterSet& p, uint64_t step, double scale) {
  RandomStream random(5, step, Purpose::kTest, 0);
  for (size_t i = 0; i < p.list().size(); ++i) {
    std::vector<float> g(size_t(p[int(i)].count));
    for (float& x : g) x = float(scale * random.normal());
    if (p[int(i)].trained)
      p.device().upload(p.grad(int(i)).data, g.data(), g.size() * sizeof(float));
  }
}

struct Simt {
  std::unique_ptr<Device> device;
  explicit Simt(uint64_t seed = 3) : device(Device::simt({.seed = seed, .lazy = true})) {}
};

TEST(Parameters, TheSameInitialValuesOnEveryDevice) {
  ParameterSet host;
  declare(host);
  host.initialize(11);
  for (DType compute : {DType::kF32, DType::kF16, DType::kBF16}) {
    Simt simt;
    ParameterSet p(*simt.device, compute);
    declare(p);
    EXPECT_EQ(p.dtype(), DType::kF32);
    EXPECT_EQ(p.compute_dtype(), compute);
    for (const void* arena : {p.values(), p.grads(), p.moments1(), p.moments2()})
      for (float x : floats_of(p, arena)) ASSERT_EQ(x, 0);
    p.initialize(11);
    EXPECT_EQ(bytes_of(p, p.values(), DType::kF32), bytes_of(host, host.values(), DType::kF32));
    p.keep_average();
    EXPECT_EQ(bytes_of(p, p.averages(), DType::kF32), bytes_of(host, host.values(), DType::kF32));
    if (compute == DType::kF32) {
      EXPECT_EQ(p.copies(), nullptr);
      EXPECT_EQ(p.compute(0).data, p.value(0).data);
      continue;
    }
    const std::vector<float> values = floats_of(p, p.values());
    const std::vector<char> copies = bytes_of(p, p.copies(), compute);
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits;
      std::memcpy(&bits, copies.data() + 2 * i, 2);
      ASSERT_EQ(bits, compute == DType::kF16 ? from_float<half>(values[i]).bits
                                             : from_float<bf16>(values[i]).bits)
          << i;
    }
    const Tensor t = p.compute(4), v = p.value(4);
    EXPECT_EQ(t.dtype, compute);
    EXPECT_TRUE(t.rows == v.rows && t.cols == v.cols);
    EXPECT_EQ(static_cast<char*>(t.data) - static_cast<char*>(p.copies()), p[4].begin * 2);
  }
}

TEST(Parameters, LeavesCarryWhatProductsRead) {
  Simt simt;
  ParameterSet p(*simt.device, DType::kBF16), host;
  declare(p);
  declare(host);
  Arena arena(*simt.device), host_arena;
  Tape tape(arena), host_tape(host_arena);
  const Var* v = p.on(tape, 0);
  EXPECT_EQ(v->operand().data, p.compute(0).data);
  EXPECT_EQ(v->value.data, p.value(0).data);
  EXPECT_EQ(v->grad.dtype, DType::kF32);
  const Var* rows = tape.leaf_rows(v, 5, 10);
  EXPECT_EQ(rows->operand().data, p.compute(0).slice(5, 10).data);
  EXPECT_EQ(rows->operand().dtype, DType::kBF16);
  EXPECT_EQ(p.on(tape, 1)->needs_grad, false);
  const Var* plain = host.on(host_tape, 0);
  EXPECT_FALSE(plain->compute);
  EXPECT_EQ(plain->operand().data, host.value(0).data);
  EXPECT_FALSE(host_tape.leaf_rows(plain, 5, 10)->compute);
}

TEST(Parameters, ZeroGradsClearsWhatIsTrained) {
  ParameterSet p;
  declare(p);
  float* g = static_cast<float*>(p.grads());
  std::fill_n(g, p.count(), 1.0f);
  p.zero_grads();
  for (const Parameter& q : p.list())
    for (int64_t i = q.begin; i < q.end(); ++i) ASSERT_EQ(g[i], q.trained ? 0 : 1) << q.name;
}

TEST(Optimizer, ClipsSkipsAndAverages) {
  ParameterSet p;
  const int w = p.add("w", {2, 2}, Init::kOnes);
  p.allocate();
  p.initialize(1);
  p.keep_average();
  float* g = p.grad(w).as<float>();
  std::fill_n(g, 4, 3.0f);
  OptimizerOptions options;
  options.clip = 1;
  options.average = 0.5;
  Optimizer optimizer(p, options);
  optimizer.set_rate(0.1);
  optimizer.step();
  EXPECT_NEAR(optimizer.report().grad_norm, 6, 1e-6);
  EXPECT_FALSE(optimizer.report().skipped);
  // First step of Adam: lr * sqrt(1-b2)/(1-b1) * (1-b1) g' / sqrt((1-b2) g'^2) = lr, whatever the
  // gradient's size; the clip shows in the moments.
  EXPECT_NEAR(p.value(w).as<float>()[0], 0.9, 1e-6);
  EXPECT_NEAR(p.moment1(w).as<float>()[0], 0.1 * 0.5, 1e-7);
  EXPECT_NEAR(p.average(w).as<float>()[0], 0.95, 1e-6);
  const float before = p.value(w).as<float>()[0];
  g[2] = NAN;
  optimizer.step();
  optimizer.step();
  EXPECT_TRUE(optimizer.report().skipped);
  EXPECT_EQ(optimizer.report().skipped_in_a_row, 2);
  EXPECT_EQ(p.value(w).as<float>()[0], before);
  EXPECT_NEAR(p.average(w).as<float>()[0], 0.95, 1e-6);
  g[2] = 3;
  optimizer.step();
  EXPECT_EQ(optimizer.report().skipped_in_a_row, 0);
  EXPECT_EQ(optimizer.progress(), (OptimizerProgress{2, 2, 1, 0, 0}));
}

// What is trained, and by what rule, may change between two steps.
TEST(Optimizer, FollowsTheParametersRules) {
  ParameterSet p;
  const int a = p.add("a", {1}, Init::kOnes), b = p.add("b", {1}, Init::kOnes);
  p[b].trained = false;
  p.allocate();
  p.initialize(1);
  Optimizer optimizer(p, {});
  optimizer.set_rate(0.1);
  const auto step = [&] {
    p.grad(a).as<float>()[0] = p.grad(b).as<float>()[0] = 1;
    optimizer.step();
  };
  step();
  EXPECT_NEAR(p.value(a).as<float>()[0], 0.9, 1e-6);
  EXPECT_EQ(p.value(b).as<float>()[0], 1);
  const float frozen = p.value(a).as<float>()[0];
  p[a].trained = false;
  p[b].trained = true;
  step();
  EXPECT_EQ(p.value(a).as<float>()[0], frozen);
  EXPECT_LT(p.value(b).as<float>()[0], 1);
}

// A step's error against double, of the CPU in float and of the device.
TEST(Optimizer, OnADeviceAsOnTheCpu) {
  for (DType compute : {DType::kF32, DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(int(compute));
    Simt simt;
    ParameterSet host, p(*simt.device, compute);
    declare(host);
    declare(p);
    host.initialize(2);
    p.initialize(2);
    host.keep_average();
    p.keep_average();
    OptimizerOptions options;
    options.clip = 1;
    options.average = 0.9;
    Optimizer on_host(host, options), optimizer(p, options);
    for (uint64_t step = 0; step < 3; ++step) {
      const double scale = optimizer.report().loss_scale;
      EXPECT_EQ(scale, compute == DType::kF16 ? 65536 : 1);
      write_gradients(host, step, 0.3);
      write_gradients(p, step, 0.3 * scale);
      on_host.set_rate(1e-2);
      optimizer.set_rate(1e-2);
      on_host.step();
      optimizer.step();
      EXPECT_NEAR(optimizer.report().grad_norm, on_host.report().grad_norm,
                  1e-12 * on_host.report().grad_norm);
    }
    const auto near = [&](const void* got, const void* want) {
      const std::vector<float> a = floats_of(p, got), b = floats_of(host, want);
      for (size_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(a[i], b[i], 4 * 0x1p-24 * std::max(std::abs(b[i]), 0.05f)) << i;
    };
    near(p.values(), host.values());
    near(p.moments1(), host.moments1());
    near(p.moments2(), host.moments2());
    near(p.averages(), host.averages());
    if (compute != DType::kF32) {
      const std::vector<char> written = bytes_of(p, p.copies(), compute);
      p.refresh_copies();
      EXPECT_EQ(written, bytes_of(p, p.copies(), compute));
    }
  }
}

TEST(Optimizer, Fp16ScalesItsLossAndGoesOnWhereItStopped) {
  Simt simt;
  ParameterSet p(*simt.device, DType::kF16);
  const int w = p.add("w", {3}, Init::kOnes);
  p.allocate();
  p.initialize(1);
  Optimizer optimizer(p, {});
  const auto step = [&](Optimizer& o, float gradient) {
    const std::vector<float> g(3, gradient);
    p.device().upload(p.grad(w).data, g.data(), 12);
    o.set_rate(0.1);
    o.step();
    return o.report();
  };
  float seen = 0;
  p.device().download(&seen, optimizer.loss_scale(), sizeof seen);
  EXPECT_EQ(seen, 65536);
  const OptimizerReport good = step(optimizer, 65536);
  EXPECT_NEAR(good.grad_norm, std::sqrt(3), 1e-12);
  EXPECT_FALSE(good.skipped);
  EXPECT_NEAR(floats_of(p, p.values())[0], 0.9, 1e-6);
  OptimizerReport bad;
  for (int i = 0; i < 60; ++i) bad = step(optimizer, INFINITY);
  EXPECT_EQ(bad.loss_scale, 1);  // the least
  EXPECT_EQ(bad.skipped_in_a_row, 60);
  EXPECT_GE(bad.skipped_in_a_row, Optimizer::kStuck);
  EXPECT_NEAR(floats_of(p, p.values())[0], 0.9, 1e-6);
  OptimizerProgress progress = optimizer.progress();
  EXPECT_EQ(progress, (OptimizerProgress{1, 60, 1, 0, 60}));
  progress.loss_scale = 512;
  progress.good_steps = 1998;
  Optimizer second(p, {});
  second.resume(progress);
  EXPECT_EQ(step(second, 1).loss_scale, 512);
  EXPECT_EQ(step(second, 1).loss_scale, 1024);
  EXPECT_EQ(second.progress(), (OptimizerProgress{3, 60, 1024, 0, 0}));
  // A run in another type knows no loss scale, whatever the file says.
  ParameterSet host;
  host.add("w", {3}, Init::kOnes);
  host.allocate();
  Optimizer plain(host, {});
  plain.resume(progress);
  EXPECT_EQ(plain.report().loss_scale, 1);
  EXPECT_EQ(plain.progress().t, 1);
}

}  // namespace
}  // namespace mome
