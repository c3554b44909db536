// Hard negatives drawn for a batch.
#include "bench/kernels/kernel_bench.h"
#include "kernels/multinomial/multinomial.h"

namespace mome::bench {
namespace {

/// Column-wise, the slower of the two directions.
void draw_negatives_bench(benchmark::State& state) {
  const int64_t n = state.range(0);
  const auto s = numbers(n * n);
  std::vector<int32_t> negative(n);
  const float log_scale = 2.66f;
  uint64_t step = 0;
  for (auto _ : state)
    draw_negatives<float>(cpu, n, s.data(), 1, n, &log_scale, nullptr, nullptr, 1, ++step, 0, negative.data());
  set_bytes(state, 4.0 * double(n * n));
}
BENCHMARK(draw_negatives_bench)
    ->ArgName("N")
    ->Arg(32)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mome::bench
