#include "kernels/common/simd_math.h"

#include <bit>
#include <limits>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

// Every `stride`-th float of both signs, all exponents, against long double; the result in units of
// the last place of the correctly rounded value.
template <class F, class G>
double worst_ulp(F&& fast, G&& truth, uint32_t stride, float* where) {
  double worst = 0;
  for (uint64_t bits = 0; bits <= 0xFFFFFFFFu; bits += stride) {
    const float x = std::bit_cast<float>(uint32_t(bits));
    if (!std::isfinite(x)) continue;
    const long double want = truth(static_cast<long double>(x));
    const float rounded = float(want);
    const float got = fast(x);
    if (got == rounded) continue;
    double ulp;
    if (!std::isfinite(rounded) || !std::isfinite(got)) {
      ulp = std::numeric_limits<double>::infinity();
    } else {
      const float a = std::fabs(rounded);
      const double unit = double(std::nextafter(a, INFINITY)) - double(a);
      ulp = double(std::fabs(static_cast<long double>(got) - want)) / unit;
    }
    if (ulp > worst) worst = ulp, *where = x;
  }
  return worst;
}

constexpr uint32_t kStride = 1009;  // prime: about four million floats

TEST(SimdMath, ExpIsWithinItsBound) {
  float x = 0;
  const double ulp = worst_ulp([](float v) { return fast_exp(v); },
                               [](long double v) { return std::exp(v); }, kStride, &x);
  RecordProperty("max_ulp", std::to_string(ulp));
  EXPECT_LE(ulp, 1.3) << "at " << x;
}

TEST(SimdMath, ErfIsWithinItsBound) {
  float x = 0;
  const double ulp = worst_ulp([](float v) { return fast_erf(v); },
                               [](long double v) { return std::erf(v); }, kStride, &x);
  RecordProperty("max_ulp", std::to_string(ulp));
  EXPECT_LE(ulp, 1.3) << "at " << x;
}

TEST(SimdMath, TanhIsWithinItsBound) {
  float x = 0;
  const double ulp = worst_ulp([](float v) { return fast_tanh(v); },
                               [](long double v) { return std::tanh(v); }, kStride, &x);
  RecordProperty("max_ulp", std::to_string(ulp));
  EXPECT_LE(ulp, 1.6) << "at " << x;
}

TEST(SimdMath, SpecialValues) {
  const float inf = INFINITY, nan = NAN;
  EXPECT_EQ(fast_exp(-inf), 0.0f);
  EXPECT_EQ(fast_exp(inf), inf);
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-1e30f), 0.0f);
  EXPECT_EQ(fast_exp(-104.0f), 0.0f);
  EXPECT_EQ(fast_exp(88.8f), inf);
  EXPECT_EQ(fast_erf(inf), 1.0f);
  EXPECT_EQ(fast_erf(-inf), -1.0f);
  EXPECT_EQ(fast_tanh(inf), 1.0f);
  EXPECT_EQ(fast_tanh(-inf), -1.0f);
  for (float n : {nan, -nan}) {
    EXPECT_TRUE(std::isnan(fast_exp(n)));
    EXPECT_TRUE(std::isnan(fast_erf(n)));
    EXPECT_TRUE(std::isnan(fast_tanh(n)));
  }
  EXPECT_TRUE(std::signbit(fast_erf(-0.0f)));
  EXPECT_TRUE(std::signbit(fast_tanh(-0.0f)));
}

// A loop that the compiler vectorises must give what single calls give, remainder included.
TEST(SimdMath, LoopsGiveWhatCallsGive) {
  const std::vector<float> x = testing::normal_vector<float>(1003, 1, 3);
  std::vector<float> e(x.size()), f(x.size()), t(x.size());
  for (size_t i = 0; i < x.size(); ++i) e[i] = fast_exp(x[i]);
  for (size_t i = 0; i < x.size(); ++i) f[i] = fast_erf(x[i]);
  for (size_t i = 0; i < x.size(); ++i) t[i] = fast_tanh(x[i]);
  for (size_t i = 0; i < x.size(); ++i) {
    volatile float v = x[i];
    EXPECT_EQ(e[i], fast_exp(float(v)));
    EXPECT_EQ(f[i], fast_erf(float(v)));
    EXPECT_EQ(t[i], fast_tanh(float(v)));
  }
}

}  // namespace
}  // namespace mome
