#include "bench/kernels/kernel_bench.h"
#include "kernels/dropout/dropout.h"

namespace mome::bench {
namespace {

void dropout_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1), count = rows * width;
  const auto x = numbers(count);
  std::vector<float> y(count);
  for (auto _ : state) 
    dropout<float>(cpu, rows, width, nullptr, x.data(), 0.1, 1, 2, 3, y.data());
  set_bytes(state, 2.0 * sizeof(float) * count);
}
BENCHMARK(dropout_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
