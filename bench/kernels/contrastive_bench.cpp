// Normalisation of features, the contrastive loss over a batch, and hard negatives drawn from it.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/kernels/inputs.h"
#include "kernels/contrastive/contrastive.h"
#include "kernels/multinomial/multinomial.h"

namespace mome {
namespace {

void l2_normalize_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = bench_inputs(rows * width, 1), dy = bench_inputs(rows * width, 2);
  std::vector<float> y(x.size()), inverse(rows), dx(x.size());
  for (auto _ : state) {
    l2_normalize_forward(rows, width, x.data(), y.data(), inverse.data());
    l2_normalize_backward(rows, width, y.data(), inverse.data(), dy.data(), dx.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state, 5 * 4.0 * double(rows * width));
}
BENCHMARK(l2_normalize_bench)
    ->ArgNames({"N", "D"})
    ->Args({1024, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void contrastive_loss_bench(benchmark::State& state) {
  const int64_t n = state.range(0);
  auto s = bench_inputs(n * n, 1);
  std::vector<int64_t> id(n);
  for (int64_t i = 0; i < n; ++i) id[i] = i / 2;
  for (auto _ : state)
    benchmark::DoNotOptimize(contrastive_loss(n, s.data(), 14.3, id.data(), nullptr, 1.0));
  count_bytes(state, 5 * 4.0 * double(n * n));
}
BENCHMARK(contrastive_loss_bench)
    ->ArgName("N")
    ->Arg(32)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(4096)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

/// Column-wise, the slower of the two directions.
void draw_negatives_bench(benchmark::State& state) {
  const int64_t n = state.range(0);
  const auto s = bench_inputs(n * n, 1);
  std::vector<int32_t> negative(n);
  uint64_t step = 0;
  for (auto _ : state)
    draw_negatives<float>(n, s.data(), 1, n, 14.3, nullptr, nullptr, 1, ++step, 0, negative.data());
  count_bytes(state, 4.0 * double(n * n));
}
BENCHMARK(draw_negatives_bench)
    ->ArgName("N")
    ->Arg(32)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mome
