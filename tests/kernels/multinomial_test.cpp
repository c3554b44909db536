#include "kernels/multinomial/multinomial.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {
using testing::normal_vector;

template <class T>
void draw(int64_t n, const T* s, int64_t rs, int64_t cs, double scale, const int64_t* image, const int64_t* caption,
          uint64_t seed, uint64_t step, uint64_t stream, int32_t* negative) {
  const T log_scale = T(std::log(scale));
  draw_negatives<T>(cpu, n, s, rs, cs, &log_scale, image, caption, seed, step, stream, negative);
}

/// Draws for `steps` steps, counted: counts[i * n + j].
template <class T>
std::vector<int> draw_counts(int64_t n, const std::vector<T>& s, int64_t rs, int64_t cs,
                             double scale, const std::vector<int64_t>& image,
                             const std::vector<int64_t>& caption, int steps) {
  std::vector<int> counts(n * n, 0);
  std::vector<int32_t> negative(n);
  for (int step = 0; step < steps; ++step) {
    draw(n, s.data(), rs, cs, scale, image.empty() ? nullptr : image.data(),
                   caption.empty() ? nullptr : caption.data(), 17, step, 3, negative.data());
    for (int64_t i = 0; i < n; ++i) ++counts[i * n + negative[i]];
  }
  return counts;
}

/// Pearson's statistic of each row against softmax over its candidates stays below mean + 5
/// standard deviations of its chi-square distribution (mean k, variance 2 k); impossible draws
/// never occur.
void expect_softmax(int64_t n, const std::vector<double>& s, int64_t rs, int64_t cs, double scale,
                    const std::vector<int64_t>& image, const std::vector<int64_t>& caption,
                    const std::vector<int>& counts, int steps) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0, statistic = 0;
    std::vector<double> p(n, 0);
    for (int64_t j = 0; j < n; ++j) {
      const bool positive = i == j || (!image.empty() && image[i] == image[j]) ||
                            (!caption.empty() && caption[i] == caption[j]);
      if (!positive) sum += p[j] = std::exp(scale * s[i * rs + j * cs]);
    }
    int freedom = -1;
    for (int64_t j = 0; j < n; ++j) {
      if (p[j] == 0) {
        EXPECT_EQ(counts[i * n + j], 0) << i << " " << j;
        continue;
      }
      const double expected = steps * p[j] / sum;
      ASSERT_GT(expected, 5) << "too few draws for the test";
      statistic += std::pow(counts[i * n + j] - expected, 2) / expected;
      ++freedom;
    }
    EXPECT_LT(statistic, freedom + 5 * std::sqrt(2.0 * freedom)) << "row " << i;
  }
}

TEST(DrawNegatives, FollowTheSoftmaxOfRowsAndOfColumns) {
  const int64_t n = 7, ld = 9;
  const int steps = 20000;
  const auto s = normal_vector<double>(n * ld, 1);
  for (auto [rs, cs] : {std::pair{ld, int64_t{1}}, {int64_t{1}, ld}}) {
    const auto counts = draw_counts(n, s, rs, cs, 1.3, {}, {}, steps);
    expect_softmax(n, s, rs, cs, 1.3, {}, {}, counts, steps);
    const auto in_float = draw_counts(n, testing::cast<float>(s), rs, cs, 1.3, {}, {}, steps);
    expect_softmax(n, s, rs, cs, 1.3, {}, {}, in_float, steps);
  }
}

TEST(DrawNegatives, LeaveOutOtherTruePairs) {
  const int64_t n = 8;
  const int steps = 20000;
  const std::vector<int64_t> image = {1, 1, 2, 3, 3, 3, 4, 5}, caption = {9, 8, 7, 6, 5, 4, 7, 9};
  const auto s = normal_vector<double>(n * n, 2);
  expect_softmax(n, s, n, 1, 0.8, image, caption,
                 draw_counts(n, s, n, 1, 0.8, image, caption, steps), steps);
  expect_softmax(n, s, n, 1, 0.8, image, {}, draw_counts(n, s, n, 1, 0.8, image, {}, steps), steps);
}

TEST(DrawNegatives, WithoutAScaleAllCandidatesAreAlike) {
  const int64_t n = 6;
  const auto s = normal_vector<float>(n * n, 2, 10);
  std::vector<int> counts(n * n, 0);
  std::vector<int32_t> negative(n);
  const int steps = 20000;
  for (int step = 0; step < steps; ++step) {
    draw_negatives<float>(cpu, n, s.data(), n, 1, nullptr, nullptr, nullptr, 17, step, 3, negative.data());
    for (int64_t i = 0; i < n; ++i) ++counts[i * n + negative[i]];
  }
  expect_softmax(n, std::vector<double>(n * n, 0), n, 1, 1, {}, {}, counts, steps);
}

TEST(DrawNegatives, PositiveWithAllTheMassIsHarmless) {
  const int64_t n = 5;
  std::vector<float> s(n * n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      s[i * n + j] = i == j ? 1e4f : float(-1000 - 10 * ((j - i + n) % n));
  std::vector<int32_t> negative(n);
  draw(n, s.data(), n, 1, 100.0, nullptr, nullptr, 1, 2, 3, negative.data());
  for (int64_t i = 0; i < n; ++i) EXPECT_EQ(negative[i], (i + 1) % n);  // the nearest of the others
}

TEST(DrawNegatives, NoCandidateOneCandidateAndBrokenScores) {
  const float nan = NAN, low = -INFINITY;
  std::vector<int32_t> negative = {7, 7, 7};
  std::vector<float> s = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  draw<float>(0, s.data(), 3, 1, 1, nullptr, nullptr, 1, 1, 1, negative.data());
  EXPECT_EQ(negative[0], 7);
  draw<float>(1, s.data(), 3, 1, 1, nullptr, nullptr, 1, 1, 1, negative.data());
  EXPECT_EQ(negative[0], -1);
  const std::vector<int64_t> image = {1, 1, 1}, caption = {4, 5, 5};
  draw<float>(3, s.data(), 3, 1, 1, image.data(), nullptr, 1, 1, 1, negative.data());
  EXPECT_EQ(negative, (std::vector<int32_t>{-1, -1, -1}));
  draw<float>(3, s.data(), 3, 1, 1, nullptr, caption.data(), 1, 1, 1, negative.data());
  EXPECT_NE(negative[0], 0);
  EXPECT_EQ(negative[1], 0);
  EXPECT_EQ(negative[2], 0);
  for (float broken : {nan, low}) {
    s.assign(9, broken);
    draw<float>(3, s.data(), 3, 1, 1, nullptr, nullptr, 1, 1, 1, negative.data());
    for (int32_t i = 0; i < 3; ++i) {
      EXPECT_GE(negative[i], 0);
      EXPECT_LT(negative[i], 3);
      EXPECT_NE(negative[i], i);
    }
  }
}

TEST(DrawNegatives, DependOnSeedStepAndStreamAloneNotOnThreads) {
  const int64_t n = 211;
  const auto s = normal_vector<float>(n * n, 3);
  auto draws = [&](uint64_t seed, uint64_t step, uint64_t stream) {
    std::vector<int32_t> negative(n);
    draw<float>(n, s.data(), n, 1, 2.0, nullptr, nullptr, seed, step, stream,
                          negative.data());
    return negative;
  };
  EXPECT_TRUE(testing::same_for_any_threads([&] { return draws(1, 2, 3); }));
  EXPECT_NE(draws(1, 2, 3), draws(2, 2, 3));
  EXPECT_NE(draws(1, 2, 3), draws(1, 3, 3));
  EXPECT_NE(draws(1, 2, 3), draws(1, 2, 4));
}

}  // namespace
}  // namespace mome
