// Dropout on the GPU. A thread takes one pack of 16 bytes of a row and draws its mask: a Philox call for
// four elements, some 25 integer operations an element; nothing is stored in between.
//
// Reads and writes 2 s bytes an element: bound by memory in 32 bits, near the balance with integer
// arithmetic in 16.
#pragma once
#include "kernels/arch/device.cuh"
#include "kernels/dropout/draws.h"

namespace mome::MOME_DEVICE {

inline constexpr int kDropoutThreads = 256;

/// kWhole: pointers and the width allow whole packs; else a row's last elements, or all, are single.
template <class T, bool kWhole>
__global__ void __launch_bounds__(kDropoutThreads)
    dropout_kernel(int64_t rows, int64_t width, const int64_t* row, const T* x, uint32_t threshold,
                   float scale, uint64_t seed, uint64_t step, uint64_t stream, T* y) {
  constexpr int N = kPack<T>;
  static_assert(N % 4 == 0, "a thread uses up its calls");
  const int64_t packs = (width + N - 1) / N;  // of a row
  const int64_t pack = int64_t(blockIdx.x) * kDropoutThreads + threadIdx.x;
  const int64_t r = pack / packs, column = (pack - r * packs) * N;
  if (r >= rows) return;
  const int64_t first = r * width + column, count = first + width - column;
  const uint64_t call = row_call(stream, row ? load(row + r) : r, width) + uint64_t(column) / 4;
  Pack<T, N> p;
  if (kWhole) {
    p = load_pack<N>(x + first);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (first + j < count) p[j] = load(x + first + j);
  }
#pragma unroll
  for (int q = 0; q < N / 4; ++q) {
    const PhiloxWords word = philox(seed, step, Purpose::kDropout, call + q);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      T& v = p[4 * q + j];
      v = from_float<T>((word[j] >> 8) < threshold ? 0.0f : to_float(v) * scale);
    }
  }
  if (kWhole) {
    store_pack<N>(y + first, p);
    return;
  }
#pragma unroll
  for (int j = 0; j < N; ++j)
    if (first + j < count) store(y + first + j, p[j]);
}

/// A thread a row.
template <class R>
__global__ void drop_path_scale_kernel(int64_t rows, const int32_t* sample, uint32_t threshold,
                                       R keep, uint64_t seed, uint64_t step, uint64_t stream,
                                       R* row_scale) {
  const int64_t r = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  const uint32_t word = drop_path_word(seed, step, stream, uint32_t(load(sample + r)));
  store(row_scale + r, (word >> 8) < threshold ? R(0) : keep);
}

}  // namespace mome::MOME_DEVICE
