#include "kernels/contrastive/contrastive.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {
using testing::normal_vector;

/// Ids of a batch where some images and some captions occur more than once.
struct Ids {
  std::vector<int64_t> image, caption;
  explicit Ids(int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      image.push_back(1000 + i * 2 / 3), caption.push_back(i * i % 11 - 5);
  }
  bool other_pair(int64_t i, int64_t j) const {
    return i != j && (image[i] == image[j] || caption[i] == caption[j]);
  }
};

struct Loss {
  double loss = 0, dscale = 0;
  int64_t image_correct = 0, text_correct = 0;
};

/// One direction by definition, in T: adds its loss, and its gradient over the similarities to
/// `ds`. at(i, j) is the place of query i and candidate j.
template <class T, class At>
int64_t one_direction(int64_t n, const std::vector<T>& s, T scale, const Ids* ids, At at,
                      Loss& loss, std::vector<T>& ds) {
  int64_t correct = 0;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<int64_t> candidates;
    for (int64_t j = 0; j < n; ++j)
      if (!ids || !ids->other_pair(i, j)) candidates.push_back(j);
    T largest = -INFINITY, sum = 0;
    int64_t best = -1;
    for (int64_t j : candidates)
      if (scale * s[at(i, j)] > largest) largest = scale * s[at(i, j)], best = j;
    for (int64_t j : candidates) sum += std::exp(scale * s[at(i, j)] - largest);
    correct += best == i;
    loss.loss += double(std::log(sum) + largest - scale * s[at(i, i)]) / (2.0 * double(n));
    for (int64_t j : candidates) {
      const T g = (std::exp(scale * s[at(i, j)] - largest) / sum - T(i == j)) / T(2 * n);
      loss.dscale += double(g) * double(s[at(i, j)]);
      ds[at(i, j)] += scale * g;
    }
  }
  return correct;
}

template <class T>
Loss naive(int64_t n, std::vector<T>& s, double scale, const Ids* ids, double grad_scale) {
  Loss loss;
  std::vector<T> ds(s.size(), 0);
  loss.image_correct = one_direction(
      n, s, T(scale), ids, [n](int64_t i, int64_t j) { return i * n + j; }, loss, ds);
  loss.text_correct = one_direction(
      n, s, T(scale), ids, [n](int64_t i, int64_t j) { return j * n + i; }, loss, ds);
  for (T& g : ds) g *= T(grad_scale);
  loss.dscale *= grad_scale;
  s = ds;
  return loss;
}

struct Result : ContrastiveResult {
  double dscale = 0;  // d loss / d scale
};
template <class T>
Result run(int64_t n, T* s, double scale, const int64_t* image, const int64_t* caption,
           double grad_scale, const T* loss_scale = nullptr) {
  Result r;
  const T log_scale = T(std::log(scale));
  T dlog_scale = 0;
  contrastive_loss<T>(cpu, n, s, &log_scale, image, caption, grad_scale, loss_scale, &dlog_scale, &r);
  r.dscale = double(dlog_scale) / scale;
  return r;
}
template <class T>
Result run(int64_t n, std::vector<T>& s, double scale, const Ids* ids, double grad_scale) {
  return run(n, s.data(), scale, ids ? ids->image.data() : nullptr,
             ids ? ids->caption.data() : nullptr, grad_scale);
}

struct Size {
  int64_t n;
  double scale;
  bool ids;
};
class Contrastive : public ::testing::TestWithParam<Size> {};

TEST_P(Contrastive, DoubleEqualsOracle) {
  const auto [n, scale, with_ids] = GetParam();
  const Ids some(n), *ids = with_ids ? &some : nullptr;
  auto got = normal_vector<double>(n * n, 1, 0.3), want = got;
  const Loss w = naive(n, want, scale, ids, 0.75);
  const Result g = run(n, got, scale, ids, 0.75);
  EXPECT_NEAR(g.loss, w.loss, 1e-13 * std::max(1.0, w.loss));
  EXPECT_NEAR(g.dscale, w.dscale, 1e-13);
  EXPECT_EQ(g.image_correct, w.image_correct);
  EXPECT_EQ(g.text_correct, w.text_correct);
  EXPECT_TRUE(testing::close_to(got, want, 1e-13));
}

TEST_P(Contrastive, FloatErrsNoMoreThanTwiceThePlainForm) {
  const auto [n, scale, with_ids] = GetParam();
  const Ids some(n), *ids = with_ids ? &some : nullptr;
  auto got = normal_vector<float>(n * n, 1, 0.3), plain = got;
  auto oracle = testing::cast<double>(got);
  const Loss w = naive(n, oracle, scale, ids, 1), p = naive(n, plain, scale, ids, 1);
  const Result g = run(n, got, scale, ids, 1);
  EXPECT_TRUE(testing::within_twice(got, plain, oracle));
  EXPECT_LE(std::fabs(g.loss - w.loss), 2 * std::fabs(p.loss - w.loss) + 1.2e-7 * w.loss);
}

TEST_P(Contrastive, SameBitsForAnyNumberOfThreads) {
  const auto [n, scale, with_ids] = GetParam();
  const Ids some(n), *ids = with_ids ? &some : nullptr;
  EXPECT_TRUE(testing::same_for_any_threads([&, n = n, scale = scale] {
    auto s = normal_vector<float>(n * n, 1, 0.3);
    const auto r = run(n, s, scale, ids, 1);
    return testing::joined(std::vector<double>{r.loss, r.dscale}, s);
  }));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Contrastive,
                         ::testing::Values(Size{0, 10, false}, Size{1, 10, true}, Size{2, 1, false},
                                           Size{7, 14.3, true}, Size{31, 14.3, false},
                                           Size{64, 100, true}, Size{65, 100, false},
                                           Size{257, 14.3, true}));

TEST(ContrastiveGradient, MatchesFiniteDifferences) {
  const int64_t n = 9;
  const double scale = 3.5, grad_scale = 1.5;
  const Ids ids(n);
  const auto s = normal_vector<double>(n * n, 2, 0.5);
  auto gradient = s;
  const double dscale = run(n, gradient, scale, &ids, grad_scale).dscale;
  auto loss = [&](std::vector<double> at, double k) {
    return grad_scale * run(n, at, k, &ids, 1).loss;
  };
  EXPECT_TRUE(testing::gradient_matches(
      [&](const std::vector<double>& x) { return loss(x, scale); }, s, gradient, 1e-9));
  EXPECT_TRUE(testing::gradient_matches([&](const std::vector<double>& x) { return loss(s, x[0]); },
                                        {scale}, {dscale}, 1e-9));
}

TEST(ContrastiveEdges, OtherTruePairsNeitherCountNorGetGradient) {
  const std::vector<int64_t> image = {5, 5, 6}, caption = {1, 2, 3};
  std::vector<float> s = {1, 9, 0, 9, 1, 0, 0, 0, 1};
  const auto r = run(3, s.data(), 1.0, image.data(), caption.data(), 1.0);
  EXPECT_EQ(r.image_correct, 3);
  EXPECT_EQ(r.text_correct, 3);
  EXPECT_EQ(s[1], 0);
  EXPECT_EQ(s[3], 0);
  // All captions alike: nothing to tell apart, no loss and no gradient.
  const std::vector<int64_t> alike = {1, 1, 1};
  s.assign(9, 0.5f);
  EXPECT_EQ(run(3, s.data(), 7.0, nullptr, alike.data(), 1.0).loss, 0);
  for (float g : s) EXPECT_EQ(g, 0);
}

TEST(ContrastiveEdges, EqualSimilaritiesCountTheFirst) {
  std::vector<float> s(16, 0.5f);
  const auto r = run(4, s.data(), 10, nullptr, nullptr, 1);
  EXPECT_NEAR(r.loss, std::log(4.0), 1e-6);
  EXPECT_EQ(r.image_correct, 1);
  EXPECT_EQ(r.text_correct, 1);
}

TEST(ContrastiveEdges, LossScaleMultipliesGradientsAndTheScaleMayBeFrozen) {
  const auto s = normal_vector<double>(25, 2, 0.5);
  auto plain = s, scaled = s, frozen = s;
  const double loss_scale = 4096, log_scale = std::log(3.0);
  const Result p = run<double>(5, plain.data(), 3, nullptr, nullptr, 1),
               q = run<double>(5, scaled.data(), 3, nullptr, nullptr, 1, &loss_scale);
  EXPECT_EQ(p.loss, q.loss);
  EXPECT_EQ(q.dscale, loss_scale * p.dscale);
  for (size_t i = 0; i < s.size(); ++i) EXPECT_EQ(scaled[i], loss_scale * plain[i]);
  ContrastiveResult r;
  contrastive_loss<double>(cpu, 5, frozen.data(), &log_scale, nullptr, nullptr, 1, nullptr, nullptr, &r);
  EXPECT_EQ(frozen, plain);
}

class L2Normalize : public ::testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(L2Normalize, ForwardAndBackwardMatchOracle) {
  const auto [rows, width] = GetParam();
  const auto x = normal_vector<double>(rows * width, 3, 2),
             dy = normal_vector<double>(rows * width, 4);
  auto naive_in = [&, rows = rows, width = width]<class T>(T) {
    std::vector<T> both(2 * rows * width);  // y, then dx
    for (int64_t r = 0; r < rows; ++r) {
      T norm = 0, along = 0;
      for (int64_t c = r * width; c < (r + 1) * width; ++c) norm += T(x[c]) * T(x[c]);
      norm = std::sqrt(norm);
      for (int64_t c = r * width; c < (r + 1) * width; ++c) both[c] = T(x[c]) / norm;
      for (int64_t c = r * width; c < (r + 1) * width; ++c) along += both[c] * T(dy[c]);
      for (int64_t c = r * width; c < (r + 1) * width; ++c)
        both[rows * width + c] = (T(dy[c]) - along * both[c]) / norm;
    }
    return both;
  };
  auto run_in = [&, rows = rows, width = width]<class T>(T) {
    std::vector<T> y(rows * width), inverse(rows), dx = testing::cast<T>(dy);
    l2_normalize_forward(cpu, rows, width, testing::cast<T>(x).data(), y.data(), inverse.data());
    l2_normalize_backward(cpu, rows, width, y.data(), inverse.data(), dx.data(), dx.data());  // aliased
    return testing::joined(y, dx);
  };
  const auto want = naive_in(0.0);
  EXPECT_TRUE(testing::close_to(run_in(0.0), want, 1e-14));
  EXPECT_TRUE(testing::within_twice(run_in(0.0f), naive_in(0.0f), want));
  EXPECT_TRUE(testing::same_for_any_threads([&] { return run_in(0.0f); }));
  const std::vector<double> got = run_in(0.0), dx(got.begin() + rows * width, got.end());
  EXPECT_TRUE(testing::gradient_matches(
      [&, rows = rows, width = width](const std::vector<double>& at) {
        std::vector<double> y(at.size()), inverse(rows);
        l2_normalize_forward(cpu, rows, width, at.data(), y.data(), inverse.data());
        return testing::weighted_sum(y, dy);
      },
      x, dx, 1e-8, 50));
}

INSTANTIATE_TEST_SUITE_P(Sizes, L2Normalize,
                         ::testing::Values(std::pair{0, 8}, std::pair{1, 2}, std::pair{5, 31},
                                           std::pair{33, 192}, std::pair{61, 768}));

TEST(L2NormalizeEdges, ZeroAndTinyRows) {
  std::vector<float> x = {0, 0, 3e-30f, 4e-30f, 3e-10f, 4e-10f}, y(6), inverse(3), dx(6);
  const std::vector<float> dy = {1, 2, 1, 2, 1, 2};
  l2_normalize_forward(cpu, 3, 2, x.data(), y.data(), inverse.data());
  EXPECT_EQ(y[0], 0);
  EXPECT_FLOAT_EQ(y[2], 3e-18f);  // below the floor: divided by 1e-12
  EXPECT_FLOAT_EQ(y[4], 0.6f);    // above it, though its square is no normal float
  EXPECT_FLOAT_EQ(y[5], 0.8f);
  l2_normalize_backward(cpu, 3, 2, y.data(), inverse.data(), dy.data(), dx.data());
  EXPECT_FLOAT_EQ(dx[1], 2e12f);
  EXPECT_FLOAT_EQ(dx[2], 1e12f);
}

}  // namespace
}  // namespace mome
