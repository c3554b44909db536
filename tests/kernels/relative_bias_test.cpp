#include "kernels/relative_bias/relative_bias.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {
using testing::normal_vector;

int32_t at(const RelativeIndex& r, int64_t i, int64_t j) { return r.index[i * r.size + j]; }

// Row numbers written out from the official tables (images of 224, 384 and 480 in patches of 16).
TEST(RelativeIndex, RowsOfTheOfficialTables) {
  EXPECT_EQ(make_relative_index(40, 14, 14).table_rows, 1126);
  EXPECT_EQ(make_relative_index(40, 24, 24).table_rows, 2606);
  EXPECT_EQ(make_relative_index(40, 30, 30).table_rows, 3878);
  EXPECT_EQ(make_relative_index(40, 0, 14).table_rows, 1126);
}

TEST(RelativeIndex, TextAt224) {
  const RelativeIndex r = make_relative_index(196, 0, 14);
  ASSERT_EQ(r.size, 196);
  EXPECT_EQ(at(r, 1, 2), 929);
  EXPECT_EQ(at(r, 2, 1), 927);
  EXPECT_EQ(at(r, 7, 7), 928);
  EXPECT_EQ(at(r, 195, 1), 734);   // the furthest back
  EXPECT_EQ(at(r, 1, 195), 1122);  // and ahead
  EXPECT_EQ(at(r, 0, 5), 1123);
  EXPECT_EQ(at(r, 5, 0), 1124);
  EXPECT_EQ(at(r, 0, 0), 1125);
}

TEST(RelativeIndex, ImageAt224) {
  const RelativeIndex r = make_relative_index(0, 14, 14);
  ASSERT_EQ(r.size, 197);
  EXPECT_EQ(at(r, 1, 2), 363);  // patch 0 -> 1: 13 * 27 + 12
  EXPECT_EQ(at(r, 2, 1), 365);
  EXPECT_EQ(at(r, 1, 15), 337);  // patch 0 -> the one below: 12 * 27 + 13
  EXPECT_EQ(at(r, 1, 196), 0);   // first -> last
  EXPECT_EQ(at(r, 196, 1), 728);
  EXPECT_EQ(at(r, 50, 50), 364);
  EXPECT_EQ(at(r, 0, 9), 729);
  EXPECT_EQ(at(r, 9, 0), 730);
  EXPECT_EQ(at(r, 0, 0), 731);
}

TEST(RelativeIndex, JointMatrixIsTextImageAndTwoCrossRows) {
  const RelativeIndex r = make_relative_index(40, 14, 14);
  const RelativeIndex text = make_relative_index(40, 0, 14), image = make_relative_index(0, 14, 14);
  ASSERT_EQ(r.size, 237);
  for (int64_t i = 0; i < r.size; ++i)
    for (int64_t j = 0; j < r.size; ++j) {
      const int32_t want = i < 40 && j < 40     ? at(text, i, j)
                           : i >= 40 && j >= 40 ? at(image, i - 40, j - 40)
                           : i < 40             ? 732
                                                : 733;
      ASSERT_EQ(at(r, i, j), want) << i << " " << j;
    }
}

// The official construction, followed literally for a small grid: coordinate differences shifted to
// be non-negative, row difference times 2w-1, then the three class entries assigned in order.
TEST(RelativeIndex, ImageMatchesBeitConstruction) {
  for (int w : {1, 2, 3, 5}) {
    const RelativeIndex r = make_relative_index(0, w, w);
    const int g = (2 * w - 1) * (2 * w - 1), n = w * w + 1;
    std::vector<int> want(n * n, 0);
    for (int i = 0; i < w * w; ++i)
      for (int j = 0; j < w * w; ++j) {
        const int rows = i / w - j / w + w - 1, columns = i % w - j % w + w - 1;
        want[(i + 1) * n + j + 1] = rows * (2 * w - 1) + columns;
      }
    for (int j = 0; j < n; ++j) want[j] = g;
    for (int i = 0; i < n; ++i) want[i * n] = g + 1;
    want[0] = g + 2;
    EXPECT_EQ(std::vector<int>(r.index.begin(), r.index.end()), want) << w;
    EXPECT_EQ(r.table_rows, g + 397);
  }
}

TEST(RelativeIndex, InverseListsEveryPositionOnceInOrder) {
  for (auto [text, grid] : {std::pair{0, 0}, {1, 0}, {0, 1}, {7, 3}, {40, 6}}) {
    const RelativeIndex r = make_relative_index(text, grid, grid ? grid : 6);
    ASSERT_EQ(int64_t(r.begin.size()), r.table_rows + 1);
    ASSERT_EQ(r.begin.back(), r.size * r.size);
    std::vector<int> seen(r.size * r.size, 0);
    for (int64_t row = 0; row < r.table_rows; ++row)
      for (int32_t e = r.begin[row]; e < r.begin[row + 1]; ++e) {
        EXPECT_EQ(r.index[r.inverse[e]], row);
        ++seen[r.inverse[e]];
        if (e > r.begin[row]) {
          EXPECT_LT(r.inverse[e - 1], r.inverse[e]);
        }
      }
    for (int count : seen) EXPECT_EQ(count, 1);
  }
}

TEST(RelativeIndex, RefusesWhatTheTableCannotHold) {
  EXPECT_THROW(make_relative_index(197, 0, 14), std::invalid_argument);
  EXPECT_THROW(make_relative_index(-1, 0, 14), std::invalid_argument);
  EXPECT_THROW(make_relative_index(4, 24, 14), std::invalid_argument);
  EXPECT_THROW(make_relative_index(4, -1, -1), std::invalid_argument);
}

struct Setting {
  int64_t text, grid, heads, ld, column;
};

class RelativeBias : public ::testing::TestWithParam<Setting> {};

TEST_P(RelativeBias, ForwardGathersAndBackwardIsItsTranspose) {
  const Setting s = GetParam();
  const RelativeIndex r = make_relative_index(s.text, s.grid, s.grid ? s.grid : 3);
  const int64_t m2 = r.size * r.size;
  const auto table = normal_vector<double>(r.table_rows * s.ld, 1);
  std::vector<double> bias(s.heads * m2);
  relative_bias_forward(cpu, view(r), table.data(), s.ld, s.column, s.heads, bias.data());
  for (int64_t h = 0; h < s.heads; ++h)
    for (int64_t e = 0; e < m2; ++e)
      ASSERT_EQ(bias[h * m2 + e], table[r.index[e] * s.ld + s.column + h]);

  const auto dbias = normal_vector<double>(s.heads * m2, 2);
  const auto earlier = normal_vector<double>(r.table_rows * s.ld, 3);
  std::vector<double> got = earlier, want = earlier;
  relative_bias_backward(cpu, view(r), dbias.data(), s.heads, got.data(), s.ld, s.column);
  for (int64_t h = 0; h < s.heads; ++h)
    for (int64_t e = 0; e < m2; ++e) want[r.index[e] * s.ld + s.column + h] += dbias[h * m2 + e];
  EXPECT_TRUE(testing::close_to(got, want, 1e-14));
  for (int64_t i = 0; i < r.table_rows; ++i)  // other layers' columns are left alone
    for (int64_t c = 0; c < s.ld; ++c)
      if (c < s.column || c >= s.column + s.heads) {
        ASSERT_EQ(got[i * s.ld + c], earlier[i * s.ld + c]);
      }

  EXPECT_TRUE(testing::same_for_any_threads([&] {
    auto dtable = testing::cast<float>(earlier);
    std::vector<float> b(s.heads * m2);
    relative_bias_forward(cpu, view(r), testing::cast<float>(table).data(), s.ld, s.column, s.heads, b.data());
    relative_bias_backward(cpu, view(r), testing::cast<float>(dbias).data(), s.heads, dtable.data(), s.ld,
                           s.column);
    return testing::joined(b, dtable);
  }));
}

TEST_P(RelativeBias, FloatGradientErrsNoMoreThanTwiceThePlainForm) {
  const Setting s = GetParam();
  const RelativeIndex r = make_relative_index(s.text, s.grid, s.grid ? s.grid : 3);
  const int64_t m2 = r.size * r.size;
  const auto dbias = normal_vector<float>(s.heads * m2, 2);
  std::vector<float> got(r.table_rows * s.ld, 0), plain = got;
  std::vector<double> oracle(got.size(), 0);
  relative_bias_backward(cpu, view(r), dbias.data(), s.heads, got.data(), s.ld, s.column);
  for (int64_t h = 0; h < s.heads; ++h)
    for (int64_t e = 0; e < m2; ++e) {
      const int64_t to = r.index[e] * s.ld + s.column + h;
      plain[to] += dbias[h * m2 + e], oracle[to] += dbias[h * m2 + e];
    }
  EXPECT_TRUE(testing::within_twice(got, plain, oracle));
}

TEST_P(RelativeBias, GradientMatchesFiniteDifferences) {
  const Setting s = GetParam();
  const RelativeIndex r = make_relative_index(s.text, s.grid, s.grid ? s.grid : 3);
  const auto table = normal_vector<double>(r.table_rows * s.ld, 1);
  const auto weights = normal_vector<double>(s.heads * r.size * r.size, 2);
  std::vector<double> dtable(table.size(), 0);
  relative_bias_backward(cpu, view(r), weights.data(), s.heads, dtable.data(), s.ld, s.column);
  EXPECT_TRUE(testing::gradient_matches(
      [&](const std::vector<double>& x) {
        std::vector<double> bias(weights.size());
        relative_bias_forward(cpu, view(r), x.data(), s.ld, s.column, s.heads, bias.data());
        return testing::weighted_sum(bias, weights);
      },
      table, dtable, 1e-9));
}

INSTANTIATE_TEST_SUITE_P(Shapes, RelativeBias,
                         ::testing::Values(Setting{0, 0, 2, 4, 1}, Setting{1, 0, 1, 1, 0},
                                           Setting{0, 1, 3, 7, 2}, Setting{7, 3, 3, 7, 3},
                                           Setting{40, 6, 3, 12, 9}, Setting{13, 0, 2, 2, 0}));

}  // namespace
}  // namespace mome
