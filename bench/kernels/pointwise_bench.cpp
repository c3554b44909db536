#include "kernels/pointwise/pointwise.h"

#include "bench/kernels/kernel_bench.h"

namespace mome::bench {
namespace {

void tanh_f32(benchmark::State& state) {
  const int64_t count = state.range(0) * state.range(1);
  const auto x = numbers(count);
  std::vector<float> y(count);
  for (auto _ : state) tanh_forward(cpu, count, x.data(), y.data());
  set_bytes(state, 2.0 * sizeof(float) * count);
}
BENCHMARK(tanh_f32)->Apply(hidden_shapes);

void add_row_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = numbers(rows * width), row = numbers(width);
  std::vector<float> y(rows * width);
  for (auto _ : state) add_row(cpu, rows, width, x.data(), row.data(), y.data());
  set_bytes(state, 2.0 * sizeof(float) * rows * width);
}
BENCHMARK(add_row_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
