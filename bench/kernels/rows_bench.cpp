#include "bench/kernels/kernel_bench.h"
#include "kernels/rows/rows.h"

namespace mome::bench {
namespace {

// Each source row is read about once, in shuffled order.
std::vector<int32_t> shuffled(int64_t rows) {
  RandomStream random(1, 0, Purpose::kSynthetic, 1);
  std::vector<int32_t> index(rows);
  for (int32_t& i : index) i = int32_t(random.below(uint32_t(rows)));
  return index;
}

void gather_rows_forward_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto x = numbers(rows * width);
  const auto index = shuffled(rows);
  std::vector<float> out(rows * width);
  for (auto _ : state) gather_rows_forward(cpu, rows, width, x.data(), index.data(), out.data());
  set_bytes(state, 2.0 * sizeof(float) * rows * width);
}
BENCHMARK(gather_rows_forward_f32)->Apply(hidden_shapes);

void gather_rows_backward_f32(benchmark::State& state) {
  const int64_t rows = state.range(0), width = state.range(1);
  const auto dout = numbers(rows * width);
  const GatherInverse inverse = invert_gather(rows, shuffled(rows));
  std::vector<float> dx(rows * width);
  for (auto _ : state) gather_rows_backward(cpu, rows, width, inverse.begin.data(), inverse.reader.data(), dout.data(), dx.data(), false);
  set_bytes(state, 2.0 * sizeof(float) * rows * width);
}
BENCHMARK(gather_rows_backward_f32)->Apply(hidden_shapes);

// Segments of 36 rows: the patches of a picture of 96 pixels.
void segment_mean_f32(benchmark::State& state) {
  const int64_t width = state.range(1), segments = state.range(0) / 36;
  const auto x = numbers(segments * 36 * width);
  std::vector<int32_t> begin(segments), count(segments, 36);
  for (int64_t s = 0; s < segments; ++s) begin[s] = int32_t(36 * s);
  std::vector<float> out(segments * width);
  for (auto _ : state)
    segment_mean_forward(cpu, segments, width, begin.data(), count.data(), x.data(), out.data());
  set_bytes(state, 1.0 * sizeof(float) * x.size());
}
BENCHMARK(segment_mean_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
