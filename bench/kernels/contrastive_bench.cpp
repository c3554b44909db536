// Normalisation of features and the contrastive loss over a batch.

#include "bench/kernels/kernel_bench.h"
#include "kernels/contrastive/contrastive.h"

namespace mome::bench {
namespace {

void l2_normalize_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = numbers(rows * width), dy = numbers(rows * width);
  std::vector<float> y(x.size()), inverse(rows), dx(x.size());
  for (auto _ : state) {
    l2_normalize_forward(cpu, rows, width, x.data(), y.data(), inverse.data());
    l2_normalize_backward(cpu, rows, width, y.data(), inverse.data(), dy.data(), dx.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, 5 * 4.0 * double(rows * width));
}
BENCHMARK(l2_normalize_bench)
    ->ArgNames({"N", "D"})
    ->Args({1024, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void contrastive_loss_bench(benchmark::State& state) {
  const int64_t n = state.range(0);
  auto s = numbers(n * n);
  std::vector<int64_t> id(n);
  for (int64_t i = 0; i < n; ++i) id[i] = i / 2;
  const float log_scale = 2.66f;
  float dlog_scale = 0;
  ContrastiveResult result;
  for (auto _ : state) {
    contrastive_loss<float>(cpu, n, s.data(), &log_scale, id.data(), nullptr, 1.0, nullptr, &dlog_scale, &result);
    benchmark::DoNotOptimize(result);
  }
  set_bytes(state, 5 * 4.0 * double(n * n));
}
BENCHMARK(contrastive_loss_bench)
    ->ArgName("N")
    ->Arg(32)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(4096)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mome::bench
