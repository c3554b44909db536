#include "kernels/rows/rows.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::integer_vector;
using testing::normal_vector;

struct Size {
  int64_t rows, sources, width;
};
const Size kSizes[] = {{1, 1, 1}, {7, 3, 5}, {3, 7, 64}, {997, 131, 67}, {131, 997, 13}};

template <class T>
void backward(int64_t sources, int64_t width, const GatherInverse& inverse, const T* dout, T* dx, bool accumulate) {
  gather_rows_backward<T>(cpu, sources, width, inverse.begin.data(), inverse.reader.data(), dout, dx, accumulate);
}

TEST(GatherRows, ForwardCopiesRows) {
  for (Size s : kSizes) {
    const auto x = normal_vector<float>(s.sources * s.width, 1);
    const auto index = integer_vector(s.rows, uint32_t(s.sources), 2);
    std::vector<float> out(s.rows * s.width);
    gather_rows_forward(cpu, s.rows, s.width, x.data(), index.data(), out.data());
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t c = 0; c < s.width; ++c)
        ASSERT_EQ(out[r * s.width + c], x[index[r] * s.width + c]);
  }
}

TEST(GatherRows, InverseListsReadersAscending) {
  const GatherInverse inverse = invert_gather(4, {2, 0, 2, 3, 2});
  EXPECT_EQ(inverse.begin, (std::vector<int32_t>{0, 1, 1, 4, 5}));
  EXPECT_EQ(inverse.reader, (std::vector<int32_t>{1, 0, 2, 4, 3}));
  const GatherInverse empty = invert_gather(2, {});
  EXPECT_EQ(empty.begin, (std::vector<int32_t>{0, 0, 0}));
  EXPECT_TRUE(invert_gather(0, {}).reader.empty());
}

// Bit for bit the sums that a loop over readers in order makes; sources without readers get 0.
template <class T>
void check_gather_backward(bool accumulate) {
  for (Size s : kSizes) {
    const auto index = integer_vector(s.rows, uint32_t(s.sources), 2);
    const auto dout = normal_vector<T>(s.rows * s.width, 3);
    std::vector<T> dx(s.sources * s.width, accumulate ? T(0.5) : T(NAN));
    std::vector<T> want(s.sources * s.width, accumulate ? T(0.5) : T(0));
    backward(s.sources, s.width, invert_gather(s.sources, index), dout.data(), dx.data(), accumulate);
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t c = 0; c < s.width; ++c) want[index[r] * s.width + c] += dout[r * s.width + c];
    EXPECT_EQ(dx, want);
  }
}

TEST(GatherRows, BackwardSumsReadersInOrder) {
  check_gather_backward<float>(false);
  check_gather_backward<float>(true);
  check_gather_backward<double>(false);
  check_gather_backward<double>(true);
}

TEST(GatherRows, GradientMatchesFiniteDifferences) {
  const std::vector<int32_t> index = {2, 0, 2, 3, 2};
  const auto x = normal_vector<double>(4 * 3, 1), dout = normal_vector<double>(5 * 3, 2);
  std::vector<double> dx(x.size());
  backward(4, 3, invert_gather(4, index), dout.data(), dx.data(), false);
  EXPECT_TRUE(testing::gradient_matches(
      [&](const std::vector<double>& at) {
        std::vector<double> out(15);
        gather_rows_forward(cpu, 5, 3, at.data(), index.data(), out.data());
        return testing::weighted_sum(out, dout);
      },
      x, dx));
}

// Segments with gaps between them, in no order, of 1 to 31 rows.
struct Segments {
  std::vector<int32_t> begin, count;
  int64_t rows = 0;
  explicit Segments(int n) {
    const auto length = integer_vector(n, 31, 9);
    for (int i = 0; i < n; ++i) {
      begin.push_back(int32_t(rows) + 1);
      count.push_back(length[i] + 1);
      rows += count.back() + 2;
    }
    std::reverse(begin.begin(), begin.end());
    std::reverse(count.begin(), count.end());
  }
};

template <class T>
std::vector<T> plain_mean(const Segments& s, int64_t width, const std::vector<T>& x) {
  std::vector<T> out(s.begin.size() * width, 0);
  for (size_t i = 0; i < s.begin.size(); ++i)
    for (int64_t c = 0; c < width; ++c) {
      for (int32_t r = 0; r < s.count[i]; ++r)
        out[i * width + c] += x[(s.begin[i] + r) * width + c];
      out[i * width + c] /= T(s.count[i]);
    }
  return out;
}

TEST(SegmentMean, ForwardEqualsTheFormula) {
  for (int n : {1, 2, 37})
    for (int64_t width : {1, 13, 192}) {
      const Segments s(n);
      const auto x = normal_vector<double>(s.rows * width, 1);
      std::vector<double> out(n * width);
      segment_mean_forward(cpu, n, width, s.begin.data(), s.count.data(), x.data(), out.data());
      EXPECT_TRUE(testing::close_to(out, plain_mean(s, width, x), 1e-15));
      const auto xf = testing::cast<float>(x);
      std::vector<float> outf(n * width);
      segment_mean_forward(cpu, n, width, s.begin.data(), s.count.data(), xf.data(), outf.data());
      EXPECT_TRUE(testing::within_twice(outf, plain_mean(s, width, xf), plain_mean(s, width, x)));
    }
}

TEST(SegmentMean, BackwardAddsInsideSegmentsOnly) {
  const Segments s(5);
  const int64_t width = 3;
  const auto x = normal_vector<double>(s.rows * width, 1),
             dout = normal_vector<double>(5 * width, 2);
  std::vector<double> dx(x.size(), 0), onto(x.size(), 3);
  segment_mean_backward(cpu, 5, width, s.begin.data(), s.count.data(), dout.data(), dx.data());
  EXPECT_TRUE(testing::gradient_matches(
      [&](const std::vector<double>& at) {
        std::vector<double> out(5 * width);
        segment_mean_forward(cpu, 5, width, s.begin.data(), s.count.data(), at.data(), out.data());
        return testing::weighted_sum(out, dout);
      },
      x, dx, 1e-9));
  segment_mean_backward(cpu, 5, width, s.begin.data(), s.count.data(), dout.data(), onto.data());
  for (size_t i = 0; i < dx.size(); ++i) EXPECT_NEAR(onto[i], dx[i] + 3, 1e-15 * 4);
}

TEST(Rows, NothingToDo) {
  std::vector<float> dx(6, 1);
  gather_rows_forward<float>(cpu, 0, 3, nullptr, nullptr, nullptr);
  segment_mean_forward<float>(cpu, 0, 3, nullptr, nullptr, nullptr, nullptr);
  segment_mean_backward<float>(cpu, 0, 3, nullptr, nullptr, nullptr, nullptr);
  backward<float>(2, 3, invert_gather(2, {}), nullptr, dx.data(), true);
  EXPECT_EQ(dx, std::vector<float>(6, 1));
  backward<float>(2, 3, invert_gather(2, {}), nullptr, dx.data(), false);
  EXPECT_EQ(dx, std::vector<float>(6, 0));
}

TEST(Rows, ThreadsDoNotChangeBits) {
  const auto index = integer_vector(997, 131, 2);
  const auto x = normal_vector<float>(997 * 67, 3);
  const Segments s(37);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    std::vector<float> out(997 * 67), dx(131 * 67), mean(37 * 67);
    gather_rows_forward(cpu, 997, 67, x.data(), index.data(), out.data());
    backward(131, 67, invert_gather(131, index), x.data(), dx.data(), false);
    segment_mean_forward(cpu, 37, 67, s.begin.data(), s.count.data(), x.data(), mean.data());
    return testing::joined(out, dx, mean);
  }));
}

}  // namespace
}  // namespace mome
