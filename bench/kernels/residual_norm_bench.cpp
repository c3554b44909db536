#include "bench/kernels/kernel_bench.h"
#include "kernels/residual_norm/residual_norm.h"

namespace mome::bench {
namespace {

struct Buffers {
  int64_t rows, width;
  std::vector<float> x, h, y, n, dx, dh, vector, out, mean, rstd;
  explicit Buffers(const benchmark::State& state)
      : rows(state.range(0)),
        width(state.range(1)),
        x(numbers(rows * width)),
        h(x),
        y(x),
        n(x),
        dx(x),
        dh(x),
        vector(numbers(width)),
        out(3 * width),
        mean(numbers(rows)),
        rstd(rows, 1) {}
  ResidualNorm<float> arguments() const {
    ResidualNorm<float> a;
    a.rows = rows, a.width = width, a.eps = 1e-5f;
    a.gamma = a.weight = a.bias = vector.data();
    return a;
  }
};

void residual_norm_forward_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    residual_norm_forward(cpu, s.arguments(), s.x.data(), s.h.data(), s.y.data(), s.n.data(),
                          s.mean.data(), s.rstd.data());
  set_bytes(state, 4.0 * sizeof(float) * s.rows * s.width);
}
BENCHMARK(residual_norm_forward_f32)->Apply(hidden_shapes);

void residual_norm_backward_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    residual_norm_backward(cpu, s.arguments(), s.h.data(), s.y.data(), s.mean.data(), s.rstd.data(),
                           s.x.data(), s.n.data(), s.dx.data(), s.dh.data(), s.out.data(),
                           s.out.data() + s.width, s.out.data() + 2 * s.width);
  set_bytes(state, 6.0 * sizeof(float) * s.rows * s.width);
}
BENCHMARK(residual_norm_backward_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
