// Column sums on the GPU, for gradients of biases: in two stages of fixed order, so that no run
// differs from another.
//
// Reads R W sizeof(T), writes and reads one row of W floats a chunk of rows; 1 FLOP an element:
// bound by memory traffic.
#pragma once
#include "kernels/common/column_sum.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kSumLanes = 32, kSumGroups = 8;

/// partials[chunk, c] = sum of a's rows [chunk * grain, …) in column c. Block (lanes x groups): a
/// lane has N neighbouring columns, group g the rows g, g + 8, … of the chunk; the groups' sums are
/// added in order. Grid (columns, chunks).
template <class T, int N>
__global__ void column_sums_kernel(int64_t rows, int64_t width, int64_t grain, const T* a,
                                   int64_t lda, float* partials) {
  SHARED(float, sums, kSumLanes* kSumGroups* N);
  const int lane = threadIdx.x, group = threadIdx.y;
  const int64_t c = (int64_t(blockIdx.x) * kSumLanes + lane) * N;
  const int64_t begin = int64_t(blockIdx.y) * grain,
                end = begin + grain < rows ? begin + grain : rows;
  float sum[N] = {};
  if (c < width)
    for (int64_t r = begin + group; r < end; r += kSumGroups) {
      const Pack<T, N> p = load_pack<N>(a + r * lda + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += to_float(p[j]);
    }
#pragma unroll
  for (int j = 0; j < N; ++j) sums[(group * N + j) * kSumLanes + lane] = sum[j];
  __syncthreads();
  if (group != 0 || c >= width) return;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    float total = 0;
    for (int g = 0; g < kSumGroups; ++g) total += sums[(g * N + j) * kSumLanes + lane];
    store(partials + int64_t(blockIdx.y) * width + c + j, total);
  }
}

}  // namespace mome::MOME_DEVICE
