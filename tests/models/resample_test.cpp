// Position parameters at another image size against the libraries that the official code calls
// (tests/peers/resample_golden.py), and the ratios that the official code was seen to use.
#include "models/checkpoints/resample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

namespace mome {
namespace {

// The grid of the peer script, with a second column that is its negative: columns stay apart.
std::vector<double> grid(int64_t n) {
  std::vector<double> values;
  for (int64_t y = 0; y < n; ++y)
    for (int64_t x = 0; x < n; ++x) {
      const double z =
          std::sin(1.3 * double(y) + 0.2) + 0.1 * double(x) * std::cos(0.7 * double(x * y));
      values.insert(values.end(), {z, -z});
    }
  return values;
}

TEST(Resample, AgreesWithScipyAndTorch) {
  std::ifstream file(std::string(MOME_SOURCE_DIR) + "/tests/models/resample_golden.txt");
  std::string head, line;
  int cases = 0;
  while (std::getline(file, head) && std::getline(file, line)) {
    std::istringstream words(head), numbers(line);
    std::string scheme;
    int64_t source, target;
    words >> scheme >> source >> target;
    const bool geometric = scheme == "geometric";
    if (double q; geometric && words >> q) {
      EXPECT_EQ(geometric_ratio(source, target), q) << head;
    }
    const ResampleWeights w =
        geometric ? geometric_weights(source, target) : bicubic_weights(source, target);
    const std::vector<double> values = resample_square(w, grid(source), 2);
    ASSERT_EQ(int64_t(values.size()), 2 * target * target);
    const int64_t step = target * target > 300 ? 29 : 1;
    int64_t at = 0;
    for (double expected; numbers >> expected; at += step) {
      ASSERT_LT(at, target * target) << head;
      // Rounding: the splines' systems have condition numbers of some hundreds.
      EXPECT_NEAR(values[size_t(2 * at)], expected, 1e-12) << head << " at " << at;
      EXPECT_EQ(values[size_t(2 * at + 1)], -values[size_t(2 * at)]);
    }
    EXPECT_GE(at, target * target) << head;
    ++cases;
  }
  EXPECT_EQ(cases, 10);
}

TEST(Resample, RatiosOfThePublishedResolutions) {
  const auto ratio = [](int64_t from, int64_t to) {
    return geometric_ratio(2 * from - 1, 2 * to - 1);
  };
  EXPECT_NEAR(ratio(14, 24), 1.0903, 5e-5);    // 224 -> 384
  EXPECT_NEAR(ratio(14, 30), 1.1251, 5e-5);    // 224 -> 480
  EXPECT_NEAR(ratio(24, 30), 1.020461, 5e-7);  // 384 -> 480
  EXPECT_NEAR(ratio(4, 6), 1.499999, 5e-7);    // the bracket's ends
  EXPECT_NEAR(ratio(30, 24), 1.010001, 5e-7);
}

TEST(Resample, CubicsAreKeptAndTheCentreIsNotMoved) {
  // A not-a-knot spline through points of a cubic is that cubic, whatever the gaps. At offset 0 of
  // both axes the geometric scheme keeps the value.
  const int64_t source = 9, target = 13;
  const ResampleWeights w = geometric_weights(source, target);
  const double q = geometric_ratio(source, target);
  const auto cubic = [](double x) { return ((0.3 * x - 0.2) * x + 1) * x - 2; };
  std::vector<double> points = {0};
  double reach = 0;
  for (int i = 0; i < 4; ++i) {
    reach += std::pow(q, i);
    points.insert(points.begin(), -reach);
    points.push_back(reach);
  }
  for (int64_t t = 0; t < target; ++t) {
    double value = 0, sum = 0;
    for (int64_t s = 0; s < source; ++s) {
      value += w.weights[size_t(t * source + s)] * cubic(points[size_t(s)]);
      sum += w.weights[size_t(t * source + s)];
    }
    EXPECT_NEAR(value, cubic(std::clamp(double(t - 6), -reach, reach)), 1e-12);
    EXPECT_NEAR(sum, 1, 1e-14);
  }
  for (int64_t s = 0; s < source; ++s)
    EXPECT_NEAR(w.weights[size_t(6 * source + s)], s == 4, 1e-15);
}

TEST(Resample, WhatCannotBeSplinedIsRefused) {
  EXPECT_THROW(geometric_weights(3, 7), std::logic_error);
  EXPECT_THROW(geometric_weights(6, 7), std::logic_error);
}

}  // namespace
}  // namespace mome
