#include "kernels/dropout/dropout.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

constexpr uint64_t kSeed = 0x123456789abcdefull, kStep = (uint64_t{1} << 33) + 5, kStream = 7;

/// The same draws as the CPU's, rounded once to T. `skip`: elements by which the pointers are off a
/// whole pack; `keyed`: rows have draws other than their number's.
template <class T>
void dropped(int64_t rows, int64_t width, double p, int64_t skip, bool keyed) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", p " << p << ", skip " << skip);
  const auto x = testing::rounded<T>(testing::normal_vector<float>(rows * width + skip, 1));
  std::vector<int64_t> row;
  for (int64_t r = 0; r < rows; ++r) row.push_back(1000 - 3 * r);
  auto expected = testing::widened(x);
  dropout<float>(cpu, rows, width, keyed ? row.data() : nullptr, expected.data() + skip, p, kSeed,
                 kStep, kStream, expected.data() + skip);
  const auto want = testing::widened(testing::rounded<T>(expected));
  testing::on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<T, Queue> in(q, x), out(q, x);
    DeviceArray<int64_t, Queue> draws(q, row);
    const int64_t* keys = keyed ? draws.data() : nullptr;
    dropout<T>(q, rows, width, keys, in.data() + skip, p, kSeed, kStep, kStream, out.data() + skip);
    EXPECT_EQ(testing::widened(out.read()), want);
    dropout<T>(q, rows, width, keys, in.data() + skip, p, kSeed, kStep, kStream, in.data() + skip);
    EXPECT_EQ(testing::widened(in.read()), want) << "in place";
  });
}

template <class T>
void counts() {
  for (int64_t width : {1, 7, 8, 9, 2047, 2049}) dropped<T>(1, width, 0.3, 0, false);
  dropped<T>(0, 8, 0.3, 0, false);
  dropped<T>(37, 64, 0.3, 0, true);
  dropped<T>(37, 13, 0.3, 0, true);
  dropped<T>(7, 104, 0.1, 1, true);
  dropped<T>(7, 104, 0.0, 0, false);
}
TEST(DropoutGpu, DrawsWhatTheCpuDraws) {
  counts<float>();
  counts<half>();
  counts<bf16>();
}

template <class T>
void scales(int64_t rows) {
  const auto sample = testing::integer_vector(rows, 50, 3);
  std::vector<float> want(rows);
  drop_path_scale<float>(cpu, rows, sample.data(), 0.4, kSeed, kStep, kStream, want.data());
  testing::on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<int32_t, Queue> s(q, sample);
    DeviceArray<float, Queue> scale(q, size_t(rows));
    drop_path_scale<T>(q, rows, s.data(), 0.4, kSeed, kStep, kStream, scale.data());
    EXPECT_EQ(scale.read(), want);
  });
}
TEST(DropPathGpu, DrawsWhatTheCpuDraws) {
  for (int64_t rows : {0, 1, 127, 129}) {
    scales<float>(rows);
    scales<half>(rows);
    scales<bf16>(rows);
  }
}

}  // namespace
}  // namespace mome
