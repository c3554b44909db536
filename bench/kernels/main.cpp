// Runs the kernel benchmarks. What the machine itself can do (copy bandwidth, GEMM rate, on all
// threads) is measured first and told in the context, so that each figure has its ceiling beside
// it.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "bench/kernels/inputs.h"
#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"

namespace mome {
namespace {

/// Seconds of the fastest of `runs` calls, after one that warms up.
template <class F>
double fastest(int runs, F&& f) {
  f();
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

/// GB/s, bytes read and bytes written both counted; far larger than any cache.
double copy_bandwidth() {
  const int64_t bytes = int64_t{256} << 20;
  std::vector<char> from(bytes, 1), to(bytes);
  const double seconds = fastest(5, [&] {
    parallel_chunks(bytes, int64_t{1} << 20, [&](int64_t begin, int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, end - begin);
    });
  });
  return 2.0 * double(bytes) * 1e-9 / seconds;
}

/// GFLOP/s of a square float product.
double gemm_rate() {
  const int64_t n = 1024;
  const auto a = bench_inputs(n * n, 1), b = bench_inputs(n * n, 2);
  std::vector<float> c(n * n);
  const double seconds = fastest(5, [&] {
    gemm(Trans::kNo, Trans::kNo, n, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f, c.data(), n);
  });
  return 2.0 * double(n * n * n) * 1e-9 / seconds;
}

}  // namespace
}  // namespace mome

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("threads", std::to_string(omp_get_max_threads()));
  benchmark::AddCustomContext("copy GB/s", std::to_string(mome::copy_bandwidth()));
  benchmark::AddCustomContext("gemm GFLOP/s", std::to_string(mome::gemm_rate()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
