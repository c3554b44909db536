// Gather of the relative position bias and its gradient, one layer.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/kernels/inputs.h"
#include "kernels/relative_bias/relative_bias.h"

namespace mome {
namespace {

/// Arguments: text tokens, grid side, heads, layers. `forward` picks the direction.
void relative_bias_bench(benchmark::State& state, bool forward) {
  const int64_t heads = state.range(2), ld = heads * state.range(3);
  const RelativeIndex index = make_relative_index(state.range(0), state.range(1), state.range(1));
  const int64_t entries = heads * index.size * index.size;
  std::vector<float> table = bench_inputs(index.table_rows * ld, 1),
                     bias = bench_inputs(entries, 2);
  for (auto _ : state) {
    if (forward)
      relative_bias_forward(index, table.data(), ld, heads, heads, bias.data());
    else
      relative_bias_backward(index, bias.data(), heads, table.data(), ld, heads);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 4.0 * double(entries + index.size * index.size));
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"T", "grid", "H", "L"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({40, 6, 3, 4})->Args({40, 14, 12, 12});
}
BENCHMARK_CAPTURE(relative_bias_bench, forward, true)->Apply(shapes);
BENCHMARK_CAPTURE(relative_bias_bench, backward, false)->Apply(shapes);

}  // namespace
}  // namespace mome
