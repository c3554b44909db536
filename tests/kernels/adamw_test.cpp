#include "kernels/adamw/adamw.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::cast;
using testing::normal_vector;

template <class T>
struct State {
  std::vector<T> w, m, v;
};

// The formula of the contract, word for word, in T.
template <class T>
void plain_step(const AdamWStep& s, const std::vector<AdamWRange>& ranges, const std::vector<T>& g,
                State<T>* state) {
  for (const AdamWRange& r : ranges)
    for (int64_t i = r.begin; i < r.end; ++i) {
      const T gi = T(s.grad_scale) * g[i];
      state->m[i] = T(s.beta1) * state->m[i] + T(1 - s.beta1) * gi;
      state->v[i] = T(s.beta2) * state->v[i] + T(1 - s.beta2) * gi * gi;
      const T lr = T(s.lr * r.lr_scale);
      const T correction = T(std::sqrt(1 - std::pow(s.beta2, s.t)) / (1 - std::pow(s.beta1, s.t)));
      state->w[i] -= lr * correction * state->m[i] / (std::sqrt(state->v[i]) + T(s.eps));
      state->w[i] -= lr * T(r.decay) * state->w[i];
    }
}

// Lengths from nothing to several chunks, with gaps.
const std::vector<AdamWRange> kRanges = {{3, 4, 1, 0.01},
                                         {10, 47, 5, 0},
                                         {50, 50, 1, 1},
                                         {64, 40000, 1, 0.05},
                                         {40001, 50003, 0.5, 0.1}};
constexpr int64_t kSize = 50021;

AdamWStep step_of(int64_t t) {
  AdamWStep s;
  s.lr = 1e-2, s.beta1 = 0.9, s.beta2 = 0.98, s.eps = 1e-6, s.t = t, s.grad_scale = 0.75;
  return s;
}

template <class T>
State<T> start() {
  return {normal_vector<T>(kSize, 1), std::vector<T>(kSize, 0), std::vector<T>(kSize, 0)};
}

template <class T, class F>
State<T> five_steps(F&& step) {
  State<T> state = start<T>();
  for (int64_t t = 1; t <= 5; ++t) step(step_of(t), normal_vector<T>(kSize, 100 + t, 0.1), &state);
  return state;
}

template <class T>
State<T> run() {
  return five_steps<T>([](const AdamWStep& s, const std::vector<T>& g, State<T>* state) {
    adamw(cpu, s, int64_t(kRanges.size()), kRanges.data(), state->w.data(), g.data(), state->m.data(),
          state->v.data());
  });
}

template <class T>
State<T> plain() {
  return five_steps<T>([](const AdamWStep& s, const std::vector<T>& g, State<T>* state) {
    plain_step(s, kRanges, g, state);
  });
}

TEST(AdamW, FiveStepsEqualTheFormula) {
  const State<double> got = run<double>(), want = plain<double>();
  EXPECT_TRUE(testing::close_to(got.w, want.w, 1e-15));
  EXPECT_TRUE(testing::close_to(got.m, want.m, 1e-15));
  EXPECT_TRUE(testing::close_to(got.v, want.v, 1e-15));
  const State<float> got_f = run<float>(), naive = plain<float>();
  EXPECT_TRUE(testing::within_twice(got_f.w, naive.w, want.w));
  EXPECT_TRUE(testing::within_twice(got_f.m, naive.m, want.m));
  EXPECT_TRUE(testing::within_twice(got_f.v, naive.v, want.v));
}

// One element by hand. m = 0.1 g, v = 0.02 g^2, correction = sqrt(0.02) / 0.1: the step is lr * g /
// (|g| + eps / sqrt(0.02)), which tells the form of eps; decay multiplies what the step left.
TEST(AdamW, FormOfEpsAndOrderOfDecay) {
  AdamWStep s;
  s.lr = 0.5, s.eps = 0.1;
  const AdamWRange range{0, 1, 1, 0.2};
  double w = 3, m = 0, v = 0;
  const double g = 2;
  adamw(cpu, s, 1, &range, &w, &g, &m, &v);
  const double stepped = 3 - 0.5 * 2 / (2 + 0.1 / std::sqrt(0.02));
  EXPECT_NEAR(w, stepped * (1 - 0.5 * 0.2), 1e-14);
  EXPECT_NEAR(m, 0.2, 1e-15);
  EXPECT_NEAR(v, 0.08, 1e-15);
}

TEST(AdamW, ElementsOutsideTheRangesStay) {
  const State<float> before = start<float>(), after = run<float>();
  std::vector<bool> inside(kSize, false);
  for (const AdamWRange& r : kRanges)
    for (int64_t i = r.begin; i < r.end; ++i) inside[i] = true;
  for (int64_t i = 0; i < kSize; ++i) {
    if (inside[i]) {
      EXPECT_GT(after.v[i], 0) << i;
    } else {
      EXPECT_EQ(after.w[i], before.w[i]) << i;
      EXPECT_EQ(after.m[i], 0) << i;
      EXPECT_EQ(after.v[i], 0) << i;
    }
  }
  adamw<float>(cpu, step_of(1), 0, nullptr, nullptr, nullptr, nullptr, nullptr);
}

TEST(AdamW, ZeroGradientOnlyDecays) {
  std::vector<double> w = {1, -2, 3}, g(3, 0), m(3, 0), v(3, 0);
  const AdamWRange range{0, 3, 1, 0.5};
  AdamWStep s;
  s.lr = 0.1;
  adamw(cpu, s, 1, &range, w.data(), g.data(), m.data(), v.data());
  EXPECT_TRUE(testing::close_to(w, std::vector<double>{0.95, -1.9, 2.85}, 1e-15));
}

TEST(SquaredNorm, SumsTheRangesInDouble) {
  const auto g = normal_vector<float>(kSize, 3);
  long double want = 0;
  for (const AdamWRange& r : kRanges)
    for (int64_t i = r.begin; i < r.end; ++i) want += (long double)g[i] * g[i];
  const double got = squared_norm(cpu, int64_t(kRanges.size()), kRanges.data(), g.data());
  EXPECT_NEAR(got, double(want), 1e-13 * double(want));
  EXPECT_EQ(squared_norm<float>(cpu, 0, nullptr, nullptr), 0);
}

// Squares beyond the range of float must not overflow, and a broken gradient must show.
TEST(SquaredNorm, LargeNanAndInf) {
  const AdamWRange all{0, kSize, 1, 0};
  std::vector<float> g(kSize, 1e30f);
  EXPECT_NEAR(squared_norm(cpu, 1, &all, g.data()) / (double(1e30f) * double(1e30f) * kSize), 1, 1e-12);
  g[kSize - 1] = INFINITY;
  EXPECT_EQ(squared_norm(cpu, 1, &all, g.data()), INFINITY);
  g[7] = NAN;
  EXPECT_TRUE(std::isnan(squared_norm(cpu, 1, &all, g.data())));
}

TEST(MovingAverage, IsTheFormula) {
  for (int64_t n : {0, 1, 17, 40009}) {
    const auto w = normal_vector<double>(n, 1), before = normal_vector<double>(n, 2);
    auto average = before;
    std::vector<double> want(n);
    moving_average(cpu, n, 0.995, w.data(), average.data());
    for (int64_t i = 0; i < n; ++i) want[i] = 0.995 * before[i] + (1 - 0.995) * w[i];
    EXPECT_TRUE(testing::close_to(average, want, 1e-15));
  }
}

TEST(AdamW, ThreadsDoNotChangeBits) {
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const State<float> s = run<float>();
    std::vector<float> average = s.m;
    moving_average(cpu, kSize, 0.9, s.w.data(), average.data());
    return testing::joined(s.w, s.m, s.v, average);
  }));
  const auto g = normal_vector<float>(kSize, 3);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    return std::vector<double>{squared_norm(cpu, int64_t(kRanges.size()), kRanges.data(), g.data())};
  }));
}

}  // namespace
}  // namespace mome
