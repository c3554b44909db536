// Binary cross-entropy over VQA's answers.

#include "bench/kernels/kernel_bench.h"
#include "kernels/binary_cross_entropy/binary_cross_entropy.h"

namespace mome::bench {
namespace {

/// Arguments: rows, classes; 4 targets a row. The gradient overwrites the logits, which are then
/// the next input: values stay finite and the work does not depend on them.
void binary_cross_entropy_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), classes = state.range(1);
  auto logits = numbers(rows * classes);
  std::vector<int32_t> begin{0}, target_class;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < 4; ++k) target_class.push_back(int32_t((r * 7919 + k * 3) % classes));
    begin.push_back(int32_t(target_class.size()));
  }
  const std::vector<float> score(target_class.size(), 0.3f);
  BinaryCrossEntropyResult result;
  for (auto _ : state) {
    binary_cross_entropy<float>(cpu, rows, classes, logits.data(), classes, begin.data(),
                                target_class.data(), score.data(), 1.0, nullptr, false, &result);
    benchmark::DoNotOptimize(result);
  }
  set_bytes(state, 8.0 * double(rows * classes));
}
BENCHMARK(binary_cross_entropy_bench)
    ->ArgNames({"R", "C"})
    ->Args({128, 3129})
    ->Args({32, 13})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mome::bench
