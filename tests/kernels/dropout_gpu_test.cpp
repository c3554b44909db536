#include "kernels/dropout/dropout.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

constexpr uint64_t kSeed = 0x123456789abcdefull, kStep = (uint64_t{1} << 33) + 5, kStream = 7;

/// The same draws as the CPU's, rounded once to T. `skip`: elements by which the pointers are off a
/// whole pack.
template <class T>
void dropped(int64_t count, double p, int64_t skip) {
  SCOPED_TRACE(::testing::Message() << count << " elements, p " << p << ", skip " << skip);
  const auto x = testing::rounded<T>(testing::normal_vector<float>(count + skip, 1));
  auto expected = testing::widened(x);
  dropout<float>(cpu, count, expected.data() + skip, p, kSeed, kStep, kStream,
                 expected.data() + skip);
  const auto want = testing::widened(testing::rounded<T>(expected));
  testing::on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<T, Queue> in(q, x), out(q, x);
    dropout<T>(q, count, in.data() + skip, p, kSeed, kStep, kStream, out.data() + skip);
    EXPECT_EQ(testing::widened(out.read()), want);
    dropout<T>(q, count, in.data() + skip, p, kSeed, kStep, kStream, in.data() + skip);
    EXPECT_EQ(testing::widened(in.read()), want) << "in place";
  });
}

template <class T>
void counts() {
  for (int64_t count : {0, 1, 7, 8, 9, 2047, 2049}) dropped<T>(count, 0.3, 0);
  dropped<T>(769, 0.1, 1);
  dropped<T>(769, 0.0, 0);
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
