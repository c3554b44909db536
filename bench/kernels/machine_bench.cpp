// The machine's own rates, and the main function of all kernel benchmarks.
#include <algorithm>
#include <chrono>
#include <limits>

#include "bench/kernels/kernel_bench.h"
#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"

namespace mome::bench {
namespace {

constexpr int64_t kCopy = 1 << 25;  // floats: 128 MiB a side
constexpr int64_t kSide = 1024;

void copy(const std::vector<float>& from, std::vector<float>* to) {
  parallel_chunks(kCopy, 1 << 16, [&](int64_t begin, int64_t end) {
    std::copy(from.data() + begin, from.data() + end, to->data() + begin);
  });
}

void product(const std::vector<float>& a, const std::vector<float>& b, std::vector<float>* c) {
  gemm<float>(cpu, Trans::kNo, Trans::kYes, kSide, kSide, kSide, 1, a.data(), kSide, b.data(), kSide, 0,
              c->data(), kSide);
}

template <class F>
double best_seconds(int times, F&& f) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < times; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, took.count());  // the first one touches the pages
  }
  return best;
}

}  // namespace

const Machine& machine() {
  static const Machine measured = [] {
    Machine m;
    {
      const std::vector<float> from = numbers(kCopy);
      std::vector<float> to(kCopy);
      m.copy_bytes_per_s = 2.0 * sizeof(float) * kCopy / best_seconds(6, [&] { copy(from, &to); });
    }
    const std::vector<float> a = numbers(kSide * kSide), b = a;
    std::vector<float> c(kSide * kSide);
    m.gemm_flops_per_s = 2.0 * kSide * kSide * kSide / best_seconds(6, [&] { product(a, b, &c); });
    return m;
  }();
  return measured;
}

namespace {

void machine_copy(benchmark::State& state) {
  const std::vector<float> from = numbers(kCopy);
  std::vector<float> to(kCopy);
  for (auto _ : state) copy(from, &to);
  set_bytes(state, 2.0 * sizeof(float) * kCopy);
}
BENCHMARK(machine_copy)->UseRealTime();

void machine_gemm(benchmark::State& state) {
  const std::vector<float> a = numbers(kSide * kSide), b = a;
  std::vector<float> c(kSide * kSide);
  for (auto _ : state) product(a, b, &c);
  set_flops(state, 2.0 * kSide * kSide * kSide);
}
BENCHMARK(machine_gemm)->UseRealTime();

}  // namespace
}  // namespace mome::bench

BENCHMARK_MAIN();
