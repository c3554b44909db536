// Cross-entropy over a BERT vocabulary, and the regression loss of masked patches.

#include "bench/kernels/kernel_bench.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace mome::bench {
namespace {

/// Arguments: rows, vocabulary. The gradient overwrites the logits, which are then the next input:
/// values stay finite and the work does not depend on them.
void cross_entropy_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), vocabulary = state.range(1);
  auto logits = numbers(rows * vocabulary);
  std::vector<int32_t> label(rows);
  for (int64_t r = 0; r < rows; ++r) label[r] = int32_t(r * 7919 % vocabulary);
  CrossEntropyResult result;
  for (auto _ : state) {
    cross_entropy<float>(cpu, rows, vocabulary, logits.data(), vocabulary, label.data(), 1.0, nullptr, false, &result);
    benchmark::DoNotOptimize(result);
  }
  set_bytes(state, 8.0 * double(rows * vocabulary));
}
BENCHMARK(cross_entropy_bench)
    ->ArgNames({"R", "V"})
    ->Args({64, 30522})
    ->Args({256, 30522})
    ->Args({4096, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void squared_error_bench(benchmark::State& state) {
  const int64_t count = state.range(0) * state.range(1);
  auto x = numbers(count);
  const auto target = numbers(count);
  double sum = 0;
  for (auto _ : state) {
    squared_error<float>(cpu, count, x.data(), target.data(), 0.5, nullptr, true, &sum);
    benchmark::DoNotOptimize(sum);
  }
  set_bytes(state, 8.0 * double(count));
}
BENCHMARK(squared_error_bench)
    ->ArgNames({"R", "W"})
    ->Args({2048, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void normalize_patches_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto patches = numbers(rows * width);
  std::vector<float> out(patches.size());
  for (auto _ : state) {
    normalize_patches(cpu, rows, width, patches.data(), out.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, 8.0 * double(rows * width));
}
BENCHMARK(normalize_patches_bench)
    ->ArgNames({"R", "W"})
    ->Args({2048, 768})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mome::bench
