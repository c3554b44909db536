#include "bench/kernels/kernel_bench.h"
#include "kernels/layer_norm/layer_norm.h"

namespace mome::bench {
namespace {

void layer_norm_forward_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = numbers(rows * width), w = numbers(width), b = numbers(width);
  std::vector<float> y(rows * width), mean(rows), rstd(rows);
  for (auto _ : state)
    layer_norm_forward(cpu, rows, width, x.data(), w.data(), b.data(), 1e-5f, y.data(), mean.data(),
                       rstd.data());
  set_bytes(state, 2.0 * sizeof(float) * rows * width);
}
BENCHMARK(layer_norm_forward_f32)->Apply(hidden_shapes);

void layer_norm_backward_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = numbers(rows * width), w = numbers(width), dy = x, mean = numbers(rows);
  const std::vector<float> rstd(rows, 1);
  std::vector<float> dx(rows * width), dw(width), db(width);
  for (auto _ : state)
    layer_norm_backward(cpu, rows, width, x.data(), w.data(), mean.data(), rstd.data(), dy.data(),
                        dx.data(), false, dw.data(), db.data());
  set_bytes(state, 3.0 * sizeof(float) * rows * width);
}
BENCHMARK(layer_norm_backward_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
