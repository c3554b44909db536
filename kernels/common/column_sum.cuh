// Sums over rows in two stages of fixed order: chunks of rows give partial sums, one thread a column then adds a
// column's partials chunk after chunk. Chunks depend on the number of rows alone.
//
// Reads R·D of s bytes, writes and reads chunks·D floats; 1 FLOP an element: bound by memory.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kSumThreads = 128;  // columns a block
inline int64_t sum_chunk(int64_t rows) { return rows > 32 * 128 ? (rows + 127) / 128 : 32; }  // at most 128 chunks

/// partials[k, c] = sum of a[r, c] over the rows of chunk k; grid (chunks, tiles of kSumThreads columns).
template <class T>
__global__ void column_partials_kernel(int64_t rows, int64_t width, int64_t chunk, const T* a, float* partials) {
  const int64_t c = int64_t(blockIdx.y) * kSumThreads + threadIdx.x, first = blockIdx.x * chunk;
  if (c >= width) return;
  const int64_t last = min(rows, first + chunk);
  float sum = 0;
#pragma unroll 4
  for (int64_t r = first; r < last; ++r) sum += to_float(load(a + r * width + c));
  store(partials + blockIdx.x * width + c, sum);
}

/// sums[c] += partials[k, c] for k = 0, 1, …; grid: tiles of kSumThreads columns.
template <class Sum>
__global__ void add_partials_kernel(int64_t chunks, int64_t width, const Sum* partials, Sum* sums) {
  const int64_t c = int64_t(blockIdx.x) * kSumThreads + threadIdx.x;
  if (c >= width) return;
  Sum sum = 0;
#pragma unroll 8
  for (int64_t k = 0; k < chunks; ++k) sum += load(partials + k * width + c);
  store(sums + c, load(sums + c) + sum);
}

}  // namespace mome::MOME_DEVICE
