// What the kernel benchmarks share: inputs, and rates beside what this machine can do at all. Every
// benchmark tells GB/s (the bytes of the kernel's model) and the share of the machine's copy
// bandwidth, or GFLOP/s and the share of its matrix product rate, both measured in the same run.
#pragma once
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "kernels/common/philox.h"

namespace mome::bench {

/// Measured once, when first asked for; machine_bench.cpp.
struct Machine {
  double copy_bytes_per_s;  // read + written, all threads, far beyond the caches
  double gemm_flops_per_s;  // float, 1024 x 1024 x 1024
};
const Machine& machine();

/// Uniform numbers of [-2, 2).
inline std::vector<float> numbers(int64_t count) {
  RandomStream random(1, 0, Purpose::kSynthetic, 0);
  std::vector<float> out(count);
  for (float& v : out) v = float(random.uniform(-2, 2));
  return out;
}

/// `bytes`: memory traffic of one iteration. A working set that fits the caches may pass 100 %.
inline void set_bytes(benchmark::State& state, double bytes) {
  using benchmark::Counter;
  const double copy = machine().copy_bytes_per_s;
  const auto rate = Counter::kIsIterationInvariantRate;
  state.counters["GB/s"] = Counter(bytes * 1e-9, rate);
  state.counters["of_copy_%"] = Counter(100 * bytes / copy, rate);
}

/// `flops`: those of one iteration.
inline void set_flops(benchmark::State& state, double flops) {
  using benchmark::Counter;
  const double gemm = machine().gemm_flops_per_s;
  const auto rate = Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = Counter(flops * 1e-9, rate);
  state.counters["of_gemm_%"] = Counter(100 * flops / gemm, rate);
}

/// Rows and width of the hidden states: the training steps of the tiny, small and base models.
inline void hidden_shapes(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->ArgNames({"rows", "width"});
  b->Args({1800, 192})->Args({1500, 256})->Args({900, 768});
}

/// The same for the inside of an expert.
inline void expert_shapes(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->ArgNames({"rows", "width"});
  b->Args({1800, 768})->Args({1500, 1024})->Args({900, 3072});
}

}  // namespace mome::bench
