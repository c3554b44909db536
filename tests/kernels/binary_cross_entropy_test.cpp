#include "kernels/binary_cross_entropy/binary_cross_entropy.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_testing.h"
#include "tests/kernels/soft_targets.h"

namespace mome {
namespace {
using testing::normal_vector;
using testing::soft_targets;
using testing::SoftTargets;

template <class T>
BinaryCrossEntropyResult run(int64_t classes, T* logits, int64_t ld, const SoftTargets& t,
                             double grad_scale, bool keep, const T* loss_scale = nullptr) {
  BinaryCrossEntropyResult result{-1, -1, -1};
  binary_cross_entropy<T>(cpu, int64_t(t.begin.size()) - 1, classes, logits, ld, t.begin.data(),
                          t.target_class.data(), t.score.data(), grad_scale, loss_scale, keep,
                          &result);
  return result;
}

/// torch's formula, in T over dense targets: gradient over the logits, and the loss.
template <class T>
double naive(int64_t rows, int64_t classes, std::vector<T>& x, int64_t ld,
             const SoftTargets& targets, double grad_scale) {
  const auto target = targets.dense<T>(classes);
  T loss = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < classes; ++j) {
      T& v = x[r * ld + j];
      const T t = target[r * classes + j];
      loss += std::max(v, T(0)) - v * t + std::log1p(std::exp(-std::fabs(v)));
      v = T(grad_scale) * (T(1) / (T(1) + std::exp(-v)) - t);
    }
  return double(loss);
}

struct Size {
  int64_t rows, classes, ld;
  double spread;  // of the logits
};

class BinaryCrossEntropy : public ::testing::TestWithParam<Size> {
 protected:
  std::vector<double> logits() const {
    return normal_vector<double>(GetParam().rows * GetParam().ld, 1, GetParam().spread);
  }
  SoftTargets targets() const { return soft_targets(GetParam().rows, GetParam().classes, 2); }
};

TEST_P(BinaryCrossEntropy, DoubleEqualsOracle) {
  const auto [rows, classes, ld, spread] = GetParam();
  auto got = logits(), want = logits();
  const double loss = naive(rows, classes, want, ld, targets(), 0.37);
  const auto r = run(classes, got.data(), ld, targets(), 0.37, false);
  EXPECT_NEAR(r.loss, loss, 1e-13 * std::max(1.0, loss));
  EXPECT_EQ(r.rows, rows);
  EXPECT_TRUE(testing::close_to(got, want, 1e-15));  // columns beyond the classes included
}

TEST_P(BinaryCrossEntropy, FloatErrsNoMoreThanTwiceThePlainForm) {
  const auto [rows, classes, ld, spread] = GetParam();
  auto oracle = logits();
  for (int64_t i = 0; i < rows * ld; ++i)
    if (i % ld >= classes) oracle[i] = 0;  // padding is not to set the scale of the error
  auto got = testing::cast<float>(oracle), plain = got;
  const double want = naive(rows, classes, oracle, ld, targets(), 1),
               plain_loss = naive(rows, classes, plain, ld, targets(), 1);
  const auto r = run(classes, got.data(), ld, targets(), 1, false);
  EXPECT_TRUE(testing::within_twice(got, plain, oracle));
  EXPECT_LE(std::fabs(r.loss - want), 2 * std::fabs(plain_loss - want) + 1.2e-7 * want);
}

TEST_P(BinaryCrossEntropy, EvaluationLeavesLogitsAloneAndAgrees) {
  const auto [rows, classes, ld, spread] = GetParam();
  auto kept = testing::cast<float>(logits()), used = kept;
  const auto before = kept;
  const SoftTargets t = targets();
  const auto k = run(classes, kept.data(), ld, t, 1, true),
             u = run(classes, used.data(), ld, t, 1, false);
  EXPECT_EQ(kept, before);
  EXPECT_EQ(k.loss, u.loss);
  EXPECT_EQ(k.score, u.score);
  double score = 0;
  const auto target = t.dense<float>(classes);
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = before.begin() + r * ld;
    score += double(
        target[r * classes + (std::max_element(row, row + classes) - row)]);  // the first of equals
  }
  EXPECT_EQ(k.score, score);
}

TEST_P(BinaryCrossEntropy, SameBitsForAnyNumberOfThreads) {
  const auto [rows, classes, ld, spread] = GetParam();
  EXPECT_TRUE(testing::same_for_any_threads([&, classes = classes, ld = ld] {
    auto x = testing::cast<float>(logits());
    const auto r = run(classes, x.data(), ld, targets(), 1, false);
    return testing::joined(std::vector<double>{r.loss, r.score}, x);
  }));
}

INSTANTIATE_TEST_SUITE_P(Sizes, BinaryCrossEntropy,
                         ::testing::Values(Size{0, 7, 7, 1}, Size{3, 1, 3, 1}, Size{15, 2, 2, 1},
                                           Size{37, 31, 33, 3}, Size{13, 32, 32, 1},
                                           Size{13, 97, 101, 30}, Size{13, 3129, 3129, 8},
                                           Size{64, 1009, 1009, 1}));

TEST(BinaryCrossEntropyGradient, MatchesFiniteDifferences) {
  const int64_t rows = 13, classes = 11, ld = 12;
  const SoftTargets t = soft_targets(rows, classes, 5);
  const auto x = normal_vector<double>(rows * ld, 4, 2);
  auto gradient = x;
  run(classes, gradient.data(), ld, t, 2.5, false);
  for (int64_t r = 0; r < rows; ++r) gradient[r * ld + classes] = 0;  // the padding
  EXPECT_TRUE(testing::gradient_matches(
      [&](std::vector<double> at) { return 2.5 * run(classes, at.data(), ld, t, 0, true).loss; }, x,
      gradient, 1e-9));
}

TEST(BinaryCrossEntropyEdges, LargeLogitsStayFiniteAndExact) {
  // Answers as sure as can be, right and wrong, each with a full and with a half target.
  const SoftTargets t{{0, 4}, {0, 1, 2, 3}, {1, 1, 0.5f, 0.5f}};
  std::vector<float> x = {1e4f, -1e4f, 1e4f, -1e4f, 1e4f, -1e4f}, kept = x;
  const auto r = run(6, x.data(), 6, t, 1, false);
  EXPECT_EQ(r.loss, 1e4 + 5e3 + 5e3 + 1e4);
  EXPECT_EQ(r.score, 1);  // the first of equals
  EXPECT_EQ(x, (std::vector<float>{0, -1, 0.5f, -0.5f, 1, 0}));
  kept = {3e38f, -3e38f};
  EXPECT_EQ(run(2, kept.data(), 2, {{0, 1}, {1}, {1}}, 1, true).loss,
            2 * double(3e38f));  // in double, where it is finite
}

TEST(BinaryCrossEntropyEdges, SmallLossesKeepTheirDigits) {
  // log1p(exp(-|x|)) of a sure answer is exp(-|x|) but for the second order: nothing may be lost
  // beside 1.
  for (float sure : {5.0f, 20.0f, 60.0f}) {
    std::vector<float> x = {sure, -sure};
    const double loss = run(2, x.data(), 2, {{0, 1}, {0}, {1}}, 1, false).loss;
    EXPECT_NEAR(loss, 2 * std::log1p(std::exp(-double(sure))), 3e-7 * loss);
    EXPECT_NEAR(x[0], -1 / (1 + std::exp(double(sure))), 3e-7 * std::fabs(x[0]));
    EXPECT_NEAR(x[1], 1 / (1 + std::exp(double(sure))), 3e-7 * std::fabs(x[1]));
  }
}

TEST(BinaryCrossEntropyEdges, RowsWithoutTargetsAndNan) {
  std::vector<double> x = {0, 0, 0, 1, 2, 3};
  const SoftTargets none{{0, 0, 0}, {}, {}};
  const auto r = run(3, x.data(), 3, none, 1, false);
  EXPECT_NEAR(
      r.loss,
      3 * std::log(2) + std::log1p(std::exp(1)) + std::log1p(std::exp(2)) + std::log1p(std::exp(3)),
      1e-14);
  EXPECT_EQ(r.score, 0);
  EXPECT_EQ(x[0], 0.5);
  std::vector<float> broken = {NAN, 2, 1};
  const auto b = run(3, broken.data(), 3, {{0, 2}, {0, 1}, {1, 0.6f}}, 1, false);
  EXPECT_TRUE(std::isnan(b.loss));
  EXPECT_EQ(b.score, double(0.6f));
  EXPECT_TRUE(std::isnan(broken[0]) && std::isfinite(broken[1]));
  broken = {NAN};
  EXPECT_EQ(run(1, broken.data(), 1, {{0, 1}, {0}, {1}}, 1, true).score, 0);
}

TEST(BinaryCrossEntropyLossScale, MultipliesTheGradientNotTheLoss) {
  const float scale = 1024;
  const SoftTargets t = soft_targets(13, 11, 5);
  auto plain = normal_vector<float>(13 * 11, 4), scaled = plain;
  const auto p = run(11, plain.data(), 11, t, 0.5, false),
             q = run(11, scaled.data(), 11, t, 0.5, false, &scale);
  EXPECT_EQ(p.loss, q.loss);
  EXPECT_EQ(p.score, q.score);
  for (size_t i = 0; i < plain.size(); ++i)
    EXPECT_EQ(scaled[i], scale * plain[i]);  // a power of two: exact
}

}  // namespace
}  // namespace mome
