#include "kernels/dropout/dropout.h"

#include "kernels/common/philox.h"
#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::normal_vector;

// The contract, one draw at a time.
std::vector<float> plain(const std::vector<float>& x, double p, uint64_t seed, uint64_t step,
                         uint64_t stream) {
  RandomStream random(seed, step, Purpose::kDropout, stream);
  std::vector<float> y;
  for (float v : x) y.push_back(random.uniform() < p ? 0.0f : v * float(1 / (1 - p)));
  return y;
}

TEST(Dropout, IsTheDrawOfItsElement) {
  for (int64_t n : {0, 1, 3, 63, 64, 65, 1031, 40009})
    for (double p : {0.0, 0.1, 0.5, 0.9}) {
      const auto x = normal_vector<float>(n, 1);
      std::vector<float> y(n);
      // A seed, a step and a stream that fill their high words too.
      dropout(cpu, 1, n, nullptr, x.data(), p, 0x123456789abcdefull, 0x500000007ull, 9, y.data());
      EXPECT_EQ(y, plain(x, p, 0x123456789abcdefull, 0x500000007ull, 9)) << n << ", " << p;
    }
}

TEST(Dropout, FloatAndDoubleDropTheSame) {
  const std::vector<float> x(5003, 1);
  const std::vector<double> xd(5003, 1);
  std::vector<float> y(x.size());
  std::vector<double> yd(x.size());
  dropout<float>(cpu, 1, 5003, nullptr, x.data(), 0.3, 1, 2, 3, y.data());
  dropout<double>(cpu, 1, 5003, nullptr, xd.data(), 0.3, 1, 2, 3, yd.data());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], float(yd[i]));
}

TEST(Dropout, KeepsItsShareAndTheMean) {
  const int64_t n = 1 << 20;
  const std::vector<float> x(n, 1);
  std::vector<float> y(n);
  for (double p : {0.1, 0.5}) {
    dropout(cpu, 1, n, nullptr, x.data(), p, 11, 0, 0, y.data());
    double kept = 0, sum = 0;
    for (float v : y) kept += v != 0, sum += v;
    const double deviation = std::sqrt(p * (1 - p) / double(n));
    EXPECT_NEAR(kept / n, 1 - p, 5 * deviation);
    EXPECT_NEAR(sum / n, 1, 5 * deviation / (1 - p));
  }
}

// Backward is the same call on the gradient: dropout is linear, with the mask of forward.
TEST(Dropout, GradientMatchesFiniteDifferences) {
  const auto x = normal_vector<double>(157, 1), dy = normal_vector<double>(157, 2);
  std::vector<double> dx(157);
  dropout(cpu, 1, 157, nullptr, dy.data(), 0.4, 5, 6, 7, dx.data());
  EXPECT_TRUE(testing::gradient_matches(
      [&](const std::vector<double>& at) {
        std::vector<double> y(157);
        dropout(cpu, 1, 157, nullptr, at.data(), 0.4, 5, 6, 7, y.data());
        return testing::weighted_sum(y, dy);
      },
      x, dx, 1e-9));
}

TEST(Dropout, DroppedIsZeroWhateverItWas) {
  const std::vector<float> x(1000, -INFINITY);
  std::vector<float> y(x.size());
  dropout(cpu, 1, 1000, nullptr, x.data(), 0.5, 1, 2, 3, y.data());
  for (float v : y) EXPECT_TRUE(v == -INFINITY || (v == 0 && !std::signbit(v)));
}

TEST(Dropout, SeedStepAndStreamMatter) {
  const std::vector<float> x(1000, 1);
  const auto mask = [&](uint64_t seed, uint64_t step, uint64_t stream) {
    std::vector<float> y(x.size());
    dropout(cpu, 1, 1000, nullptr, x.data(), 0.5, seed, step, stream, y.data());
    return y;
  };
  EXPECT_EQ(mask(1, 2, 3), mask(1, 2, 3));
  EXPECT_NE(mask(1, 2, 3), mask(2, 2, 3));
  EXPECT_NE(mask(1, 2, 3), mask(1, 3, 3));
  EXPECT_NE(mask(1, 2, 3), mask(1, 2, 4));
}

TEST(Dropout, WorksInPlaceWithAnyThreads) {
  const auto x = normal_vector<float>(1009 * 99, 1);
  std::vector<float> in_place = x, apart(x.size());
  dropout(cpu, 1009, 99, nullptr, x.data(), 0.2, 1, 1, 1, apart.data());
  dropout(cpu, 1009, 99, nullptr, in_place.data(), 0.2, 1, 1, 1, in_place.data());
  EXPECT_EQ(in_place, apart);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    std::vector<float> y(x.size());
    dropout(cpu, 1009, 99, nullptr, x.data(), 0.2, 1, 1, 1, y.data());
    return y;
  }));
}

// What a row loses is its own: packed among others or alone, in any order.
TEST(Dropout, RowsCarryTheirDraws) {
  const int64_t width = 37;
  const auto x = normal_vector<float>(5 * width, 1);
  std::vector<float> whole(x.size()), one(size_t(width), 0.0f);
  dropout<float>(cpu, 5, width, nullptr, x.data(), 0.5, 1, 2, 3, whole.data());
  for (int64_t r = 4; r >= 0; --r) {
    dropout<float>(cpu, 1, width, &r, x.data() + r * width, 0.5, 1, 2, 3, one.data());
    EXPECT_EQ(one, std::vector<float>(whole.begin() + r * width, whole.begin() + (r + 1) * width));
  }
}

TEST(DropPath, RowsOfASampleShareADraw) {
  // Samples in packed order: images first, then texts.
  std::vector<int32_t> sample;
  for (int32_t s = 0; s < 50; ++s) sample.insert(sample.end(), 5, s);
  for (int32_t s = 0; s < 50; ++s) sample.insert(sample.end(), 3, s);
  std::vector<double> scale(sample.size());
  drop_path_scale<double>(cpu, int64_t(sample.size()), sample.data(), 0.3, 4, 5, 6, scale.data());
  for (size_t r = 0; r < sample.size(); ++r) {
    RandomStream random(4, 5, Purpose::kDropPath, 6);
    for (int32_t s = 0; s < sample[r]; ++s) random.next();
    EXPECT_EQ(scale[r], random.uniform() < 0.3 ? 0 : 1 / 0.7) << r;
  }
}

TEST(DropPath, KeepsItsShare) {
  const int32_t n = 100000;
  std::vector<int32_t> sample(n);
  for (int32_t i = 0; i < n; ++i) sample[i] = i;
  std::vector<float> scale(n);
  drop_path_scale<float>(cpu, n, sample.data(), 0.2, 1, 2, 3, scale.data());
  double mean = 0;
  for (float s : scale) mean += s / n;
  EXPECT_NEAR(mean, 1, 5 * std::sqrt(0.2 * 0.8 / n) / 0.8);
  drop_path_scale<float>(cpu, n, sample.data(), 0.0, 1, 2, 3, scale.data());
  EXPECT_EQ(scale, std::vector<float>(n, 1));
  drop_path_scale<float>(cpu, 0, nullptr, 0.5, 1, 2, 3, nullptr);
}

}  // namespace
}  // namespace mome
