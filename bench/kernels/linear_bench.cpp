#include "bench/kernels/kernel_bench.h"
#include "kernels/linear/linear.h"

namespace mome::bench {
namespace {

// The first layer of an expert: D -> 4 D.
struct Buffers {
  int64_t rows, in, out;
  std::vector<float> x, w, b, y, dx, dw, db;
  explicit Buffers(const benchmark::State& state)
      : rows(state.range(0)),
        in(state.range(1)),
        out(4 * in),
        x(numbers(rows * in)),
        w(numbers(in * out)),
        b(numbers(out)),
        y(numbers(rows * out)),
        dx(x),
        dw(w),
        db(b) {}
  double flops() const { return 2.0 * rows * in * out; }
};

void linear_forward_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    linear_forward(cpu, s.rows, s.in, s.out, s.x.data(), s.in, s.w.data(), s.b.data(), s.y.data(),
                   s.out);
  set_flops(state, s.flops());
}
BENCHMARK(linear_forward_f32)->Apply(hidden_shapes);

void linear_backward_input_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    linear_backward_input(cpu, s.rows, s.in, s.out, s.y.data(), s.out, s.w.data(), s.dx.data(), s.in,
                          false);
  set_flops(state, s.flops());
}
BENCHMARK(linear_backward_input_f32)->Apply(hidden_shapes);

void linear_backward_weight_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    linear_backward_weight(cpu, s.rows, s.in, s.out, s.x.data(), s.in, s.y.data(), s.out, s.dw.data(),
                           s.db.data());
  set_flops(state, s.flops());
}
BENCHMARK(linear_backward_weight_f32)->Apply(hidden_shapes);

void column_sums_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto a = numbers(rows * width);
  std::vector<float> sums(width);
  for (auto _ : state) column_sums(cpu, rows, width, a.data(), width, sums.data());
  set_bytes(state, 1.0 * sizeof(float) * rows * width);
}
BENCHMARK(column_sums_f32)->Apply(expert_shapes);

}  // namespace
}  // namespace mome::bench
