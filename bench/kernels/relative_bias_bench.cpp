// Gather of the relative position bias and its gradient, one layer.

#include "bench/kernels/kernel_bench.h"
#include "kernels/relative_bias/relative_bias.h"

namespace mome::bench {
namespace {

/// Arguments: text tokens, grid side, heads, layers. `forward` picks the direction.
void relative_bias_bench(benchmark::State& state, bool forward) {
  const int64_t heads = state.range(2), ld = heads * state.range(3);
  const RelativeIndex index = make_relative_index(state.range(0), state.range(1), state.range(1));
  const int64_t entries = heads * index.size * index.size;
  std::vector<float> table = numbers(index.table_rows * ld), bias = numbers(entries);
  for (auto _ : state) {
    if (forward)
      relative_bias_forward(cpu, view(index), table.data(), ld, heads, heads, bias.data());
    else
      relative_bias_backward(cpu, view(index), bias.data(), heads, table.data(), ld, heads);
    benchmark::ClobberMemory();
  }
  set_bytes(state, 4.0 * double(entries + index.size * index.size));
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"T", "grid", "H", "L"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({40, 6, 3, 4})->Args({40, 14, 12, 12});
}
BENCHMARK_CAPTURE(relative_bias_bench, forward, true)->Apply(shapes);
BENCHMARK_CAPTURE(relative_bias_bench, backward, false)->Apply(shapes);

}  // namespace
}  // namespace mome::bench
