#include "runtime/log/outliers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/common/philox.h"

namespace mome {
namespace {

// The same by its definition: mean and deviation of the window summed afresh.
double z_of(const std::vector<double>& values, size_t end, size_t window) {
  double mean = 0, squares = 0;
  for (size_t i = end - window; i < end; ++i) mean += values[i] / double(window);
  for (size_t i = end - window; i < end; ++i) squares += (values[i] - mean) * (values[i] - mean);
  return (values[end] - mean) / std::sqrt(squares / double(window));
}

TEST(Outliers, AreZScoresOfTheWindow) {
  RandomStream random(1, 0, Purpose::kTest, 0);
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(5 + 0.1 * random.normal() - 0.003 * i);
  values[500] = 1e6;  // a spike, which must leave no trace once it has left the window
  OutlierDetector detector(32);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto z = detector.add(values[i]);
    ASSERT_EQ(z.has_value(), i >= 32);
    if (!z) continue;
    const double expected = z_of(values, i, 32);
    EXPECT_NEAR(*z, expected, 1e-9 * std::max(1.0, std::abs(expected))) << i;
  }
}

TEST(Outliers, ASpikeStandsOut) {
  RandomStream random(2, 0, Purpose::kTest, 0);
  StepOutliers outliers;
  for (int i = 0; i < 128; ++i) {
    const auto z = outliers.add(2 + 0.05 * random.normal(), 1);
    EXPECT_FALSE(z.loss || z.grad_norm || z.large());
  }
  EXPECT_FALSE(outliers.add(2.05, 1).large());
  const auto spike = outliers.add(2.6, 1);
  ASSERT_TRUE(spike.loss);
  EXPECT_GT(*spike.loss, 8);
  EXPECT_EQ(*spike.grad_norm, 0);
  EXPECT_TRUE(spike.large());
  EXPECT_TRUE(std::isinf(*outliers.add(2, 7).grad_norm));  // after a constant window
}

TEST(Outliers, NonFiniteValuesDoNotJoin) {
  OutlierDetector with(4), without(4);
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 20; ++i) {
    for (const double bad : {nan, infinity, -infinity}) EXPECT_FALSE(with.add(bad));
    const double value = i % 3;
    EXPECT_EQ(with.add(value), without.add(value)) << i;
  }
}

TEST(Outliers, AConstantSeriesHasNone) {
  OutlierDetector detector(8);
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(detector.add(0.1));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(detector.add(0.1), 0) << i;
}

}  // namespace
}  // namespace mome
