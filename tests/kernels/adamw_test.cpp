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

// A step's options and what is decided for it.
struct Step {
  AdamWOptions options;
  StepControl control;
};

// The formula of the contract, word for word, in T.
template <class T>
void plain_step(const Step& step, const std::vector<AdamWRange>& ranges, const std::vector<T>& g,
                State<T>* state) {
  const AdamWOptions& s = step.options;
  const int64_t t = step.control.t;
  for (const AdamWRange& r : ranges)
    for (int64_t i = r.begin; i < r.end; ++i) {
      const T gi = T(step.control.grad_scale) * g[i];
      state->m[i] = T(s.beta1) * state->m[i] + T(1 - s.beta1) * gi;
      state->v[i] = T(s.beta2) * state->v[i] + T(1 - s.beta2) * gi * gi;
      const T lr = T(step.control.lr * r.lr_scale);
      const T correction = T(std::sqrt(1 - std::pow(s.beta2, t)) / (1 - std::pow(s.beta1, t)));
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

// Step t, with gradients 4/3 of the largest norm.
Step step_of(int64_t t, double beta2 = 0.98, double eps = 1e-6) {
  Step s;
  s.options = {0.9, beta2, eps};
  s.control.lr = 1e-2;
  s.control.t = t - 1;
  s.control.squared_norm = 16;
  step_control(cpu, s.options, {.clip = 3}, &s.control);
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
  return five_steps<T>([](const Step& s, const std::vector<T>& g, State<T>* state) {
    const std::vector<AdamWRange> ranges = cut(kRanges);
    adamw<T>(cpu, s.options, &s.control, int64_t(ranges.size()), ranges.data(), state->w.data(), g.data(), state->m.data(),
             state->v.data(), nullptr);
  });
}

template <class T>
State<T> plain() {
  return five_steps<T>([](const Step& s, const std::vector<T>& g, State<T>* state) {
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
  Step s = step_of(1, 0.98, 0.1);
  s.control.lr = 0.5, s.control.grad_scale = 1;
  const AdamWRange range{0, 1, 1, 0.2};
  double w = 3, m = 0, v = 0;
  const double g = 2;
  adamw<double>(cpu, s.options, &s.control, 1, &range, &w, &g, &m, &v, nullptr);
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
  const StepControl control;
  adamw<float>(cpu, {}, &control, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
}

TEST(AdamW, ZeroGradientOnlyDecays) {
  std::vector<double> w = {1, -2, 3}, g(3, 0), m(3, 0), v(3, 0);
  const AdamWRange range{0, 3, 1, 0.5};
  Step s = step_of(1);
  s.control.lr = 0.1;
  adamw<double>(cpu, s.options, &s.control, 1, &range, w.data(), g.data(), m.data(), v.data(), nullptr);
  EXPECT_TRUE(testing::close_to(w, std::vector<double>{0.95, -1.9, 2.85}, 1e-15));
}

template <class T>
double norm_of(const std::vector<AdamWRange>& whole, const std::vector<T>& g) {
  const std::vector<AdamWRange> ranges = cut(whole);
  double result = -1;
  squared_norm(cpu, int64_t(ranges.size()), ranges.data(), g.data(), &result);
  return result;
}

TEST(SquaredNorm, SumsTheRangesInDouble) {
  const auto g = normal_vector<float>(kSize, 3);
  long double want = 0;
  for (const AdamWRange& r : kRanges)
    for (int64_t i = r.begin; i < r.end; ++i) want += (long double)g[i] * g[i];
  EXPECT_NEAR(norm_of(kRanges, g), double(want), 1e-13 * double(want));
  EXPECT_EQ(norm_of<float>({}, {}), 0);
}

// Squares beyond the range of float must not overflow, and a broken gradient must show.
TEST(SquaredNorm, LargeNanAndInf) {
  const AdamWRange all{0, kSize, 1, 0};
  std::vector<float> g(kSize, 1e30f);
  EXPECT_NEAR(norm_of({all}, g) / (double(1e30f) * double(1e30f) * kSize), 1, 1e-12);
  g[kSize - 1] = INFINITY;
  EXPECT_EQ(norm_of({all}, g), INFINITY);
  g[7] = NAN;
  EXPECT_TRUE(std::isnan(norm_of({all}, g)));
}

TEST(MovingAverage, IsTheFormula) {
  for (int64_t n : {0, 1, 17, 40009}) {
    const auto w = normal_vector<double>(n, 1), before = normal_vector<double>(n, 2);
    auto average = before;
    std::vector<double> want(n);
    StepControl control;
    moving_average(cpu, n, 0.995, &control, w.data(), average.data());
    for (int64_t i = 0; i < n; ++i) want[i] = 0.995 * before[i] + (1 - 0.995) * w[i];
    EXPECT_TRUE(testing::close_to(average, want, 1e-15));
    control.skip = 1;
    const auto kept = average;
    moving_average(cpu, n, 0.995, &control, w.data(), average.data());
    EXPECT_EQ(average, kept);
  }
}

TEST(AdamW, ASkippedStepChangesNothing) {
  State<float> state = start<float>();
  const State<float> before = state;
  Step s = step_of(1);
  s.control.skip = 1;
  const std::vector<AdamWRange> ranges = cut(kRanges);
  adamw<float>(cpu, s.options, &s.control, int64_t(ranges.size()), ranges.data(), state.w.data(), before.w.data(), state.m.data(),
               state.v.data(), nullptr);
  EXPECT_EQ(state.w, before.w);
  EXPECT_EQ(state.m, before.m);
  EXPECT_EQ(state.v, before.v);
}

TEST(Cut, CoversEachElementOnceInShortRanges) {
  const std::vector<AdamWRange> pieces = cut(kRanges);
  std::vector<AdamWRange> joined;
  for (const AdamWRange& r : pieces) {
    EXPECT_LE(r.end - r.begin, kAdamWRange);
    EXPECT_LT(r.begin, r.end);
    if (!joined.empty() && joined.back().end == r.begin && joined.back().lr_scale == r.lr_scale && joined.back().decay == r.decay)
      joined.back().end = r.end;
    else
      joined.push_back(r);
  }
  std::vector<AdamWRange> want = kRanges;
  want.erase(want.begin() + 2);  // the empty one
  EXPECT_EQ(joined, want);
}

TEST(StepControl, TakesClipsAndSkips) {
  StepControl c;
  c.squared_norm = 16;
  const AdamWOptions adamw{0.9, 0.98, 1e-8};
  step_control(cpu, adamw, {}, &c);
  EXPECT_EQ(c.t, 1);
  EXPECT_EQ(c.grad_norm, 4);
  EXPECT_EQ(c.grad_scale, 1);
  EXPECT_EQ(c.correction, std::sqrt(1 - 0.98) / (1 - 0.9));
  step_control(cpu, adamw, {.clip = 1}, &c);
  EXPECT_EQ(c.t, 2);
  EXPECT_EQ(c.grad_scale, 0.25);
  step_control(cpu, adamw, {.clip = 5}, &c);
  EXPECT_EQ(c.grad_scale, 1);
  for (double broken : {NAN, INFINITY}) {
    c.squared_norm = broken;
    step_control(cpu, adamw, {.clip = 1}, &c);
    EXPECT_EQ(c.skip, 1);
    EXPECT_EQ(c.t, 3);
  }
  EXPECT_EQ(c.skipped, 2);
  EXPECT_EQ(c.skipped_in_a_row, 2);
  EXPECT_EQ(c.loss_scale, 1);
  c.squared_norm = 0;
  step_control(cpu, adamw, {.clip = 1}, &c);
  EXPECT_EQ(c.skip, 0);
  EXPECT_EQ(c.t, 4);
  EXPECT_EQ(c.skipped, 2);
  EXPECT_EQ(c.skipped_in_a_row, 0);
  EXPECT_EQ(c.good_steps, 0);  // nothing is counted where the scale stays
}

// Three good steps double the scale up to the largest, an overflow halves it at once down to the least.
TEST(StepControl, TheLossScaleGrowsAndBacksOff) {
  StepControl c;
  c.loss_scale = 4;
  const ControlOptions o{.clip = 1, .dynamic = true, .min_scale = 1.5f, .max_scale = 12, .growth_interval = 3};
  const auto run = [&](double true_norm) {
    c.squared_norm = true_norm * true_norm * double(c.loss_scale) * double(c.loss_scale);
    step_control(cpu, {}, o, &c);
    return c.loss_scale;
  };
  const double overflow = INFINITY;
  EXPECT_EQ(run(2), 4);
  EXPECT_EQ(c.grad_norm, 2);
  EXPECT_EQ(c.grad_scale, 0.5 / 4);  // of the scale that the gradients were made with
  EXPECT_EQ(run(0.5), 4);
  EXPECT_EQ(c.grad_scale, 0.25);
  EXPECT_EQ(run(2), 8);
  EXPECT_EQ(c.grad_scale, 0.5 / 4);
  EXPECT_EQ(c.good_steps, 0);
  EXPECT_EQ(run(2), 8);
  EXPECT_EQ(run(2), 8);
  EXPECT_EQ(run(overflow), 4);  // and the good steps are forgotten
  EXPECT_EQ(run(2), 4);
  EXPECT_EQ(run(2), 4);
  EXPECT_EQ(run(2), 8);
  for (int i = 0; i < 3; ++i) run(2);
  EXPECT_EQ(c.loss_scale, 12);
  for (float want : {6.0f, 3.0f, 1.5f, 1.5f}) EXPECT_EQ(run(overflow), want);
  EXPECT_EQ(c.skipped_in_a_row, 4);
  EXPECT_EQ(c.skipped, 5);
  EXPECT_EQ(c.t, 11);
}

TEST(AdamW, ThreadsDoNotChangeBits) {
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const State<float> s = run<float>();
    std::vector<float> average = s.m;
    const StepControl control;
    moving_average(cpu, kSize, 0.9, &control, s.w.data(), average.data());
    return testing::joined(s.w, s.m, s.v, average);
  }));
  const auto g = normal_vector<float>(kSize, 3);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    return std::vector<double>{norm_of(kRanges, g)};
  }));
}

}  // namespace
}  // namespace mome
