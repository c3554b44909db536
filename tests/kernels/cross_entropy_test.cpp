#include "kernels/cross_entropy/cross_entropy.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {
using testing::integer_vector;
using testing::normal_vector;

template <class T>
CrossEntropyResult run(int64_t rows, int64_t vocabulary, T* logits, int64_t ld, const int32_t* label, double grad_scale, bool keep,
                       const T* loss_scale = nullptr) {
  CrossEntropyResult result{-1, -1};
  cross_entropy<T>(cpu, rows, vocabulary, logits, ld, label, grad_scale, loss_scale, keep, &result);
  return result;
}
template <class T>
double run_squared(int64_t count, T* x, const T* target, double grad_scale, bool keep, const T* loss_scale = nullptr) {
  double sum = -1;
  squared_error<T>(cpu, count, x, target, grad_scale, loss_scale, keep, &sum);
  return sum;
}

/// The definition, in T: gradient over the logits, and the loss.
template <class T>
double naive(int64_t rows, int64_t vocabulary, std::vector<T>& x, int64_t ld,
             const std::vector<int32_t>& label, double grad_scale) {
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) {
    T* row = x.data() + r * ld;
    const T largest = *std::max_element(row, row + vocabulary);
    T sum = 0;
    for (int64_t j = 0; j < vocabulary; ++j) sum += std::exp(row[j] - largest);
    loss += double(std::log(sum) + largest - row[label[r]]);
    for (int64_t j = 0; j < vocabulary; ++j)
      row[j] = T(grad_scale) * (std::exp(row[j] - largest) / sum - (j == label[r] ? T(1) : T(0)));
  }
  return loss;
}

struct Size {
  int64_t rows, vocabulary, ld;
  double spread;  // of the logits
};

class CrossEntropy : public ::testing::TestWithParam<Size> {
 protected:
  std::vector<double> logits() const {
    const Size& s = GetParam();
    return normal_vector<double>(s.rows * s.ld, 1, s.spread);
  }
  std::vector<int32_t> labels() const {
    const Size& s = GetParam();
    return integer_vector(s.rows, uint32_t(std::max<int64_t>(1, s.vocabulary)), 2);
  }
};

TEST_P(CrossEntropy, DoubleEqualsOracle) {
  const auto [rows, vocabulary, ld, spread] = GetParam();
  auto got = logits(), want = logits();
  const auto label = labels();
  const double loss = naive(rows, vocabulary, want, ld, label, 0.37);
  const auto r = run(rows, vocabulary, got.data(), ld, label.data(), 0.37, false);
  EXPECT_NEAR(r.loss, loss,
              1e-14 * std::max(1.0, std::fabs(loss)) * double(std::max<int64_t>(rows, 1)));
  EXPECT_TRUE(testing::close_to(got, want, 1e-13));  // columns beyond the vocabulary included
}

TEST_P(CrossEntropy, FloatErrsNoMoreThanTwiceThePlainForm) {
  const auto [rows, vocabulary, ld, spread] = GetParam();
  auto got = testing::cast<float>(logits()), plain = got;
  auto oracle = logits();
  const auto label = labels();
  const double want = naive(rows, vocabulary, oracle, ld, label, 1);
  const double plain_loss = naive(rows, vocabulary, plain, ld, label, 1);
  const auto r = run(rows, vocabulary, got.data(), ld, label.data(), 1, false);
  // Padding holds normal numbers; the gradient alone is to set the scale of the error.
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t j = vocabulary; j < ld; ++j)
      got[row * ld + j] = plain[row * ld + j] = 0, oracle[row * ld + j] = 0;
  EXPECT_TRUE(testing::within_twice(got, plain, oracle));
  EXPECT_LE(std::fabs(r.loss - want), 2 * std::fabs(plain_loss - want) + 1.2e-7 * std::fabs(want));
}

TEST_P(CrossEntropy, EvaluationLeavesLogitsAloneAndAgrees) {
  const auto [rows, vocabulary, ld, spread] = GetParam();
  auto kept = testing::cast<float>(logits()), used = kept;
  const auto before = kept;
  const auto label = labels();
  const auto k = run(rows, vocabulary, kept.data(), ld, label.data(), 1, true);
  const auto u = run(rows, vocabulary, used.data(), ld, label.data(), 1, false);
  EXPECT_EQ(kept, before);
  EXPECT_EQ(k.loss, u.loss);
  EXPECT_EQ(k.correct, u.correct);
  int64_t correct = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = before.begin() + r * ld;
    correct += std::max_element(row, row + vocabulary) - row == label[r];  // the first of equals
  }
  EXPECT_EQ(k.correct, correct);
}

TEST_P(CrossEntropy, SameBitsForAnyNumberOfThreads) {
  const auto [rows, vocabulary, ld, spread] = GetParam();
  EXPECT_TRUE(testing::same_for_any_threads([&, rows = rows, vocabulary = vocabulary, ld = ld] {
    auto x = testing::cast<float>(logits());
    const auto r = run(rows, vocabulary, x.data(), ld, labels().data(), 1, false);
    return testing::joined(std::vector<double>{r.loss, double(r.correct)}, x);
  }));
}

INSTANTIATE_TEST_SUITE_P(Sizes, CrossEntropy,
                         ::testing::Values(Size{0, 7, 7, 1}, Size{1, 1, 3, 1}, Size{5, 2, 2, 1},
                                           Size{7, 31, 33, 3}, Size{13, 32, 32, 1},
                                           Size{3, 97, 101, 30}, Size{5, 30522, 30523, 2},
                                           Size{64, 1009, 1009, 1}));

TEST(CrossEntropyGradient, MatchesFiniteDifferences) {
  const int64_t rows = 3, vocabulary = 11, ld = 12;
  const auto x = normal_vector<double>(rows * ld, 4);
  const auto label = integer_vector(rows, vocabulary, 5);
  auto gradient = x;
  run(rows, vocabulary, gradient.data(), ld, label.data(), 2.5, false);
  for (int64_t r = 0; r < rows; ++r) gradient[r * ld + vocabulary] = 0;  // the padding
  EXPECT_TRUE(testing::gradient_matches(
      [&](std::vector<double> at) {
        return 2.5 * run(rows, vocabulary, at.data(), ld, label.data(), 0, true).loss;
      },
      x, gradient, 1e-9));
}

TEST(CrossEntropyEdges, LargeLogitsTiesAndNan) {
  std::vector<float> x = {3e38f, -3e38f, 0};
  const int32_t first = 0, second = 1, third = 2;
  EXPECT_EQ(run(1, 3, x.data(), 3, &first, 1, true).loss, 0);
  const auto far = run(1, 3, x.data(), 3, &second, 1, true);
  EXPECT_NEAR(far.loss, 6e38, 1e32);  // in double, where it is finite
  x = {1, 2, 2};
  EXPECT_EQ(run(1, 3, x.data(), 3, &second, 1, true).correct, 1);
  EXPECT_EQ(run(1, 3, x.data(), 3, &third, 1, true).correct, 0);
  x[0] = NAN;
  EXPECT_TRUE(std::isnan(run(1, 3, x.data(), 3, &third, 1, true).loss));
}

TEST(SquaredError, MatchesOracleAndFiniteDifferences) {
  for (int64_t n : {0, 1, 31, 33, 40009}) {
    const auto x = normal_vector<float>(n, 6), target = normal_vector<float>(n, 7);
    double want = 0;
    std::vector<double> gradient(n);
    for (int64_t i = 0; i < n; ++i) {
      const double d = double(x[i]) - double(target[i]);
      want += d * d, gradient[i] = 0.25 * 2 * d;
    }
    auto kept = x, used = x;
    // The difference is rounded once to float, 2^-24 relative.
    EXPECT_NEAR(run_squared(n, kept.data(), target.data(), 0.25, true), want, 1.2e-7 * want);
    EXPECT_EQ(kept, x);
    run_squared(n, used.data(), target.data(), 0.25, false);
    EXPECT_LT(testing::error_of(used, gradient).rel, 6e-8);

    const auto wide = testing::cast<double>(target);
    auto exact = testing::cast<double>(x);
    EXPECT_NEAR(run_squared(n, exact.data(), wide.data(), 0.25, false), want, 1e-13 * want);
    EXPECT_TRUE(testing::gradient_matches(
        [&](std::vector<double> at) {
          return 0.25 * run_squared(n, at.data(), wide.data(), 0, true);
        },
        testing::cast<double>(x), exact, 1e-8, 20));
  }
  EXPECT_TRUE(testing::same_for_any_threads([] {
    auto x = normal_vector<float>(50021, 6);
    const double loss =
        run_squared(int64_t(x.size()), x.data(), normal_vector<float>(50021, 7).data(), 1, false);
    return testing::joined(std::vector<double>{loss}, x);
  }));
}

TEST(LossScale, MultipliesTheGradientNotTheLoss) {
  const float scale = 1024;
  const auto x = normal_vector<float>(6 * 11, 4), target = normal_vector<float>(6 * 11, 5);
  const auto label = integer_vector(6, 11, 5);
  auto plain = x, scaled = x;
  const auto p = run(6, 11, plain.data(), 11, label.data(), 0.5, false);
  const auto q = run(6, 11, scaled.data(), 11, label.data(), 0.5, false, &scale);
  EXPECT_EQ(p.loss, q.loss);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(scaled[i], scale * plain[i]);  // a power of two: exact
  plain = scaled = x;
  EXPECT_EQ(run_squared(66, plain.data(), target.data(), 0.5, false), run_squared(66, scaled.data(), target.data(), 0.5, false, &scale));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(scaled[i], scale * plain[i]);
}

TEST(NormalizePatches, MatchesOracleInPlaceAndApart) {
  for (auto [rows, width] : {std::pair{0, 5}, {1, 1}, {3, 2}, {29, 33}, {50, 768}}) {
    const auto x = normal_vector<float>(rows * width, 8, 0.3);
    std::vector<double> want(x.size());
    for (int r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      for (int c = 0; c < width; ++c) mean += double(x[r * width + c]) / width;
      for (int c = 0; c < width && width > 1; ++c)
        variance += std::pow(double(x[r * width + c]) - mean, 2) / (width - 1);
      for (int c = 0; c < width; ++c)
        want[r * width + c] = (double(x[r * width + c]) - mean) / std::sqrt(variance + 1e-6);
    }
    std::vector<float> apart(x.size()), in_place = x;
    normalize_patches(cpu, rows, width, x.data(), apart.data());
    normalize_patches(cpu, rows, width, in_place.data(), in_place.data());
    EXPECT_LT(testing::error_of(apart, want).rel, 6e-8) << rows << " x " << width;  // one rounding
    EXPECT_EQ(apart, in_place);
  }
  std::vector<double> constant(6, 0.7), out(6);
  normalize_patches<double>(cpu, 2, 3, constant.data(), out.data());
  for (double v : out) EXPECT_NEAR(v, 0, 1e-12);
}

}  // namespace
}  // namespace mome
