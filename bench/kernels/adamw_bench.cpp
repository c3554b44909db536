#include "bench/kernels/kernel_bench.h"
#include "kernels/adamw/adamw.h"

namespace mome::bench {
namespace {

// Parameters of twelve blocks of width 192 and a vocabulary, cut as a model cuts them.
struct Arena {
  std::vector<AdamWRange> ranges;
  int64_t size = 0;
  std::vector<float> w, g, m, v;
  Arena() {
    const auto add = [&](int64_t count, double decay) {
      ranges.push_back({size, size + count, 1, decay});
      size += count;
    };
    add(30522 * 192, 0.01);
    for (int i = 0; i < 12; ++i)
      for (int64_t out : {576, 192, 768, 192}) {
        add(192 * out, 0.01);
        add(out, 0);
      }
    ranges = cut(ranges);
    w = g = numbers(size);
    m.assign(size, 0), v.assign(size, 0);
  }
};

void adamw_f32(benchmark::State& state) {
  Arena a;
  StepControl control;
  control.lr = 1e-6;
  control.squared_norm = 1;
  for (auto _ : state) {
    step_control(cpu, {}, {}, &control);
    adamw<float>(cpu, {}, &control, int64_t(a.ranges.size()), a.ranges.data(), a.w.data(), a.g.data(), a.m.data(), a.v.data(), nullptr);
  }
  set_bytes(state, 7.0 * sizeof(float) * a.size);
}
BENCHMARK(adamw_f32)->UseRealTime();

void squared_norm_f32(benchmark::State& state) {
  const Arena a;
  double norm = 0;
  for (auto _ : state) {
    squared_norm(cpu, int64_t(a.ranges.size()), a.ranges.data(), a.g.data(), &norm);
    benchmark::DoNotOptimize(norm);
  }
  set_bytes(state, 1.0 * sizeof(float) * a.size);
}
BENCHMARK(squared_norm_f32)->UseRealTime();

void moving_average_f32(benchmark::State& state) {
  Arena a;
  const StepControl control;
  for (auto _ : state) moving_average(cpu, a.size, 0.995, &control, a.w.data(), a.m.data());
  set_bytes(state, 3.0 * sizeof(float) * a.size);
}
BENCHMARK(moving_average_f32)->UseRealTime();

}  // namespace
}  // namespace mome::bench
