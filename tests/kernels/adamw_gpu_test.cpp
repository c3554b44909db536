// AdamW on the GPU devices: whole steps (norm, decision, update, average) against the CPU's double
// form, the 16-bit copies, skipped steps, norms that must not overflow, and every length around a
// block's slice.
#include <optional>

#include "kernels/adamw/adamw.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

// Nothing, one, odd, prime, a slice of a block (4,096) and one less and more, several ranges; with
// gaps, at any offset.
const std::vector<AdamWRange> kRanges = {
    {0, 1, 1, 0.01},     {3, 10, 5, 0},          {12, 12, 1, 1},
    {13, 44, 1, 0.3},    {48, 4143, 1, 0.05},    {4144, 8240, 0.5, 0.1},
    {8241, 12338, 1, 0}, {12352, 12879, 1, 0.2}, {12881, 46001, 1, 0.1}};
constexpr int64_t kSize = 46011;
constexpr int kSteps = 4;
constexpr double kAverage = 0.9;
const AdamWOptions kAdamW{0.9, 0.98, 1e-6};
const ControlOptions kControl{.clip = 10, .dynamic = true, .growth_interval = 2};

// Gradients of step t, times the loss scale; those of the third overflow.
std::vector<float> gradients(int t, float loss_scale) {
  std::vector<float> g = normal_vector<float>(kSize, uint64_t(100 + t), 0.1);
  for (float& x : g) x *= loss_scale;
  if (t == 2) g[5000] = INFINITY;
  return g;
}
StepControl start() {
  StepControl c;
  c.lr = 1e-2;
  c.loss_scale = 1024;
  return c;
}

template <class R>
struct Arenas {
  std::vector<R> w, m, v, average;
  StepControl control;
};

template <class R>
Arenas<R> on_cpu() {
  const auto w = normal_vector<R>(kSize, 1);
  Arenas<R> a{w, std::vector<R>(kSize, 0), std::vector<R>(kSize, 0), w, start()};
  const std::vector<AdamWRange> ranges = cut(kRanges);
  const int64_t n = int64_t(ranges.size());
  for (int t = 0; t < kSteps; ++t) {
    const auto g = testing::cast<R>(gradients(t, a.control.loss_scale));
    squared_norm(cpu, n, ranges.data(), g.data(), &a.control.squared_norm);
    step_control(cpu, kAdamW, kControl, &a.control);
    adamw<R>(cpu, kAdamW, &a.control, n, ranges.data(), a.w.data(), g.data(), a.m.data(),
             a.v.data(), nullptr);
    moving_average(cpu, kSize, kAverage, &a.control, a.w.data(), a.average.data());
  }
  return a;
}

std::vector<float> shifted(std::vector<float> v, int64_t by) {
  v.insert(v.begin(), size_t(by), 0.0f);
  return v;
}
template <class V>
V unshifted(V v, int64_t by) {
  v.erase(v.begin(), v.begin() + by);
  return v;
}

// `shift` elements before each arena: 1 takes the 16-byte alignment away.
template <class T, class Queue>
Arenas<float> on_gpu(Queue& queue, int64_t shift, std::vector<T>* copy) {
  const std::vector<float> w = shifted(normal_vector<float>(kSize, 1), shift),
                           zeros(size_t(kSize + shift), 0.0f);
  const std::vector<AdamWRange> ranges = cut(kRanges);
  const int64_t n = int64_t(ranges.size());
  DeviceArray<float, Queue> dw(queue, w), dm(queue, zeros), dv(queue, zeros), da(queue, w),
      dg(queue, zeros);
  DeviceArray<T, Queue> dc(queue, size_t(kSize + shift));
  DeviceArray<AdamWRange, Queue> table(queue, ranges);
  DeviceArray<StepControl, Queue> control(queue, std::vector<StepControl>{start()});
  float loss_scale = start().loss_scale;
  for (int t = 0; t < kSteps; ++t) {
    const std::vector<float> g = shifted(gradients(t, loss_scale), shift);
    queue.upload(dg.data(), g.data(), g.size() * sizeof(float));
    squared_norm(queue, n, table.data(), static_cast<const float*>(dg.data() + shift),
                 &control.data()->squared_norm);
    step_control(queue, kAdamW, kControl, control.data());
    adamw<T>(queue, kAdamW, control.data(), n, table.data(), dw.data() + shift, dg.data() + shift,
             dm.data() + shift, dv.data() + shift,
             std::is_same_v<T, float> ? nullptr : dc.data() + shift);
    moving_average(queue, kSize, kAverage, control.data(),
                   static_cast<const float*>(dw.data() + shift), da.data() + shift);
    loss_scale = control.read()[0].loss_scale;
  }
  *copy = unshifted(dc.read(), shift);
  return {unshifted(dw.read(), shift), unshifted(dm.read(), shift), unshifted(dv.read(), shift),
          unshifted(da.read(), shift), control.read()[0]};
}

bool same_bits(const Arenas<float>& a, const Arenas<float>& b) {
  return a.w == b.w && a.m == b.m && a.v == b.v && a.average == b.average &&
         std::memcmp(&a.control, &b.control, sizeof a.control) == 0;
}

template <class T>
void steps(int64_t shift) {
  SCOPED_TRACE(::testing::Message() << sizeof(T) << " bytes, shifted by " << shift);
  const Arenas<double> want = on_cpu<double>();
  const Arenas<float> plain = on_cpu<float>();
  std::optional<Arenas<float>> first;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    std::vector<T> copy;
    const Arenas<float> got = on_gpu<T>(queue, shift, &copy);
    EXPECT_TRUE(testing::as_exact_as(got.w, plain.w, want.w));
    EXPECT_TRUE(testing::as_exact_as(got.m, plain.m, want.m));
    EXPECT_TRUE(testing::as_exact_as(got.v, plain.v, want.v));
    EXPECT_TRUE(testing::as_exact_as(got.average, plain.average, want.average));
    EXPECT_EQ(got.control.t, 3);
    EXPECT_EQ(got.control.skipped, 1);
    EXPECT_EQ(got.control.loss_scale,
              1024);  // twice it after two good steps, and back at the third
    EXPECT_EQ(got.control.good_steps, 1);
    EXPECT_NEAR(got.control.squared_norm, want.control.squared_norm,
                1e-13 * want.control.squared_norm);
    EXPECT_NEAR(got.control.grad_scale, want.control.grad_scale, 1e-13 * want.control.grad_scale);
    EXPECT_NEAR(got.control.correction, want.control.correction, 1e-14);

    // Inside the ranges copies are the rounded values, outside nothing was touched.
    std::vector<bool> inside(kSize, false);
    for (const AdamWRange& r : kRanges)
      std::fill(inside.begin() + r.begin, inside.begin() + r.end, true);
    const std::vector<T> rounded = testing::rounded<T>(got.w);
    const std::vector<float> before = normal_vector<float>(kSize, 1);
    for (int64_t i = 0; i < kSize; ++i) {
      if constexpr (!std::is_same_v<T, float>) {
        ASSERT_EQ(copy[i].bits, inside[i] ? rounded[i].bits : 0xffff) << i;
      }
      if (inside[i])
        ASSERT_GT(got.v[i], 0) << i;
      else
        ASSERT_TRUE(got.w[i] == before[i] && got.m[i] == 0 && got.v[i] == 0) << i;
    }

    std::vector<T> again_copy;
    EXPECT_TRUE(same_bits(got, on_gpu<T>(queue, shift, &again_copy)));
    EXPECT_EQ(std::memcmp(copy.data(), again_copy.data(), copy.size() * sizeof(T)), 0);
    if constexpr (std::is_same_v<Queue, simt::Queue>) {
      if (!first) first = got;
      EXPECT_TRUE(same_bits(*first, got)) << "another schedule";
    }
  });
}

TEST(AdamWGpu, StepsEqualTheCpus) {
  for (int64_t shift : {0, 1}) {
    steps<float>(shift);
    steps<half>(shift);
    steps<bf16>(shift);
  }
}

template <class Queue>
double norm_of(Queue& queue, const std::vector<AdamWRange>& whole, const std::vector<float>& g) {
  const std::vector<AdamWRange> ranges = cut(whole);
  DeviceArray<AdamWRange, Queue> table(queue, ranges);
  DeviceArray<float, Queue> dg(queue, g);
  DeviceArray<double, Queue> result(queue, 1);
  squared_norm(queue, int64_t(ranges.size()), table.data(), static_cast<const float*>(dg.data()),
               result.data());
  return result.read()[0];
}

TEST(SquaredNormGpu, EqualsTheCpusAtAnyLength) {
  for (int64_t n : {0, 1, 3, 31, 1021, 4095, 4096, 4097, 16384, 16385, 40009}) {
    SCOPED_TRACE(n);
    const std::vector<float> g = normal_vector<float>(n, 3);
    const std::vector<AdamWRange> whole = {{0, n, 1, 0}};
    const std::vector<AdamWRange> ranges = cut(whole);
    double want = -1;
    squared_norm(cpu, int64_t(ranges.size()), ranges.data(), g.data(), &want);
    std::optional<double> first;
    testing::on_every_gpu([&]<class Queue>(Queue& queue) {
      const double got = norm_of(queue, whole, g);
      EXPECT_NEAR(got, want, 1e-14 * want);
      if constexpr (std::is_same_v<Queue, simt::Queue>) {
        if (!first) first = got;
        EXPECT_EQ(*first, got) << "another schedule";
      }
      EXPECT_EQ(norm_of(queue, whole, g), got);
    });
  }
}

TEST(SquaredNormGpu, LargeNanAndInf) {
  constexpr int64_t n = 5003;
  const std::vector<AdamWRange> all = {{0, n, 1, 0}};
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    std::vector<float> g(n, 1e30f);
    EXPECT_NEAR(norm_of(queue, all, g) / (double(1e30f) * double(1e30f) * n), 1, 1e-12);
    g[n - 1] = -INFINITY;
    EXPECT_EQ(norm_of(queue, all, g), INFINITY);
    g[7] = NAN;
    EXPECT_TRUE(std::isnan(norm_of(queue, all, g)));
  });
}

TEST(StepControlGpu, FollowsTheCpu) {
  const ControlOptions options{
      .clip = 2, .dynamic = true, .min_scale = 256, .max_scale = 2048, .growth_interval = 2};
  const double norms[] = {1, 9e6, 4, 4, 4, 4, INFINITY, NAN, INFINITY, INFINITY, 1e6, 0, 0, 0};
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    StepControl c = start();
    DeviceArray<StepControl, Queue> control(queue, std::vector<StepControl>{c});
    for (double squared : norms) {
      c.squared_norm = squared;
      queue.upload(&control.data()->squared_norm, &squared, sizeof squared);
      step_control(cpu, kAdamW, options, &c);
      step_control(queue, kAdamW, options, control.data());
      const StepControl got = control.read()[0];
      EXPECT_EQ(got.t, c.t);
      EXPECT_EQ(got.skip, c.skip);
      EXPECT_EQ(got.skipped, c.skipped);
      EXPECT_EQ(got.skipped_in_a_row, c.skipped_in_a_row);
      EXPECT_EQ(got.good_steps, c.good_steps);
      EXPECT_EQ(got.loss_scale, c.loss_scale);
      EXPECT_EQ(got.grad_scale, c.grad_scale);  // sqrt and division are exact on every device
      EXPECT_NEAR(got.correction, c.correction, 1e-14);
    }
    EXPECT_EQ(c.skipped, 4);
    EXPECT_EQ(c.t, 10);
  });
}

template <class T>
void copies(int64_t n, int64_t shift) {
  SCOPED_TRACE(::testing::Message() << n << " elements, shifted by " << shift);
  std::vector<float> w = normal_vector<float>(n + shift, 4, 3);
  if (n > 5)
    w[shift] = 1e38f, w[shift + 1] = -INFINITY, w[shift + 2] = 1e-7f, w[shift + 3] = -0.0f,
    w[shift + 4] = NAN;
  const std::vector<T> want = testing::rounded<T>(w);
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<float, Queue> dw(queue, w);
    DeviceArray<T, Queue> dc(queue, size_t(n + shift));
    round_copy<T>(queue, n, dw.data() + shift, dc.data() + shift);
    const std::vector<T> got = dc.read();
    for (int64_t i = shift; i < n + shift; ++i) {
      if (std::isnan(w[i]))
        EXPECT_TRUE(std::isnan(to_float(got[i])));
      else
        ASSERT_EQ(got[i].bits, want[i].bits) << i;
    }
  });
}

TEST(RoundCopyGpu, IsTheStorageTypesRounding) {
  for (int64_t n : {0, 1, 3, 7, 4095, 4096, 4097, 9001})
    for (int64_t shift : {0, 1}) {
      copies<half>(n, shift);
      copies<bf16>(n, shift);
    }
}

TEST(MovingAverageGpu, IsTheFormulaUnlessTheStepIsSkipped) {
  for (int64_t n : {0, 1, 3, 4, 5, 4095, 4096, 4097, 9001}) {
    SCOPED_TRACE(n);
    const auto w = normal_vector<float>(n, 1), before = normal_vector<float>(n, 2);
    std::vector<double> want(before.begin(), before.end());
    std::vector<float> plain = before;
    for (int64_t i = 0; i < n; ++i) want[i] = 0.995 * before[i] + (1 - 0.995) * w[i];
    for (int64_t i = 0; i < n; ++i) plain[i] = 0.995f * before[i] + float(1 - 0.995) * w[i];
    testing::on_every_gpu([&]<class Queue>(Queue& queue) {
      StepControl control;
      for (int32_t skip : {0, 1}) {
        control.skip = skip;
        DeviceArray<float, Queue> dw(queue, w), da(queue, before);
        DeviceArray<StepControl, Queue> dc(queue, std::vector<StepControl>{control});
        moving_average(queue, n, 0.995, dc.data(), static_cast<const float*>(dw.data()), da.data());
        if (skip)
          EXPECT_EQ(da.read(), before);
        else
          EXPECT_TRUE(testing::as_exact_as(da.read(), plain, want));
      }
    });
  }
}

}  // namespace
}  // namespace mome
