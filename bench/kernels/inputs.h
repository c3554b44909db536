// What kernel benchmarks share: made-up inputs and the two rates that results are told in.
#pragma once
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/common/philox.h"

namespace mome {

/// n numbers uniform in [-1, 1), a function of `stream` alone.
inline std::vector<float> bench_inputs(int64_t n, uint64_t stream) {
  RandomStream random(1, 0, Purpose::kSynthetic, stream);
  std::vector<float> x(n);
  for (float& value : x) value = float(random.uniform(-1, 1));
  return x;
}

/// Bytes that an iteration must move (each operand once), as GB/s.
inline void count_bytes(benchmark::State& state, double bytes) {
  state.counters["GB/s"] =
      benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

/// Floating-point operations of an iteration, as GFLOP/s.
inline void count_flops(benchmark::State& state, double flops) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace mome
