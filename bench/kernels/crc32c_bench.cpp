#include "bench/kernels/kernel_bench.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/sliced_crc.h"

namespace mome::bench {
namespace {

// As much as a checkpoint's largest tensor, beyond every cache.
const std::string& checkpoint_bytes() {
  static const std::string bytes(size_t{64} << 20, 'x');
  return bytes;
}

void crc32c_checksum(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(checkpoint_bytes()));
  set_bytes(state, double(checkpoint_bytes().size()));
}
BENCHMARK(crc32c_checksum)->UseRealTime();

void crc32c_tables(benchmark::State& state) {
  const std::string& bytes = checkpoint_bytes();
  for (auto _ : state) benchmark::DoNotOptimize(SlicedCrc<kCrc32cPolynomial>::of(bytes.data(), bytes.size(), 0));
  set_bytes(state, double(bytes.size()));
}
BENCHMARK(crc32c_tables)->UseRealTime();

}  // namespace
}  // namespace mome::bench
