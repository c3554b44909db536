// The second stage of sums over rows: kernels leave one partial row a chunk of rows, one thread a column then adds a column's
// partials chunk after chunk. Chunks depend on the number of rows alone, so the order is fixed.
//
// Reads chunks·D floats: a few per cent of what the first stage reads.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kSumThreads = 128;  // columns a block
inline int64_t sum_chunk(int64_t rows) { return rows > 32 * 128 ? (rows + 127) / 128 : 32; }  // at most 128 chunks

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
