#include "bench/kernels/kernel_bench.h"
#include "kernels/bias_gelu/bias_gelu.h"

namespace mome::bench {
namespace {

void bias_gelu_forward_f32(benchmark::State& state, Gelu kind) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto a = numbers(rows * width), bias = numbers(width);
  std::vector<float> out(rows * width);
  for (auto _ : state) bias_gelu_forward(cpu, kind, rows, width, a.data(), bias.data(), out.data());
  set_bytes(state, 2.0 * sizeof(float) * rows * width);
}
BENCHMARK_CAPTURE(bias_gelu_forward_f32, erf, Gelu::kErf)->Apply(expert_shapes);
BENCHMARK_CAPTURE(bias_gelu_forward_f32, tanh, Gelu::kTanh)->Apply(expert_shapes);
BENCHMARK_CAPTURE(bias_gelu_forward_f32, quick, Gelu::kQuick)->Apply(expert_shapes);

void bias_gelu_backward_f32(benchmark::State& state, Gelu kind) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto a = numbers(rows * width), bias = numbers(width), dout = a;
  std::vector<float> da(rows * width), dbias(width);
  for (auto _ : state)
    bias_gelu_backward(cpu, kind, rows, width, a.data(), bias.data(), dout.data(), da.data(),
                       dbias.data());
  set_bytes(state, 3.0 * sizeof(float) * rows * width);
}
BENCHMARK_CAPTURE(bias_gelu_backward_f32, erf, Gelu::kErf)->Apply(expert_shapes);
BENCHMARK_CAPTURE(bias_gelu_backward_f32, tanh, Gelu::kTanh)->Apply(expert_shapes);
BENCHMARK_CAPTURE(bias_gelu_backward_f32, quick, Gelu::kQuick)->Apply(expert_shapes);

}  // namespace
}  // namespace mome::bench
