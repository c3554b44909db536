// Whole rows on the GPU: a warp walks a row in packs of N elements, lane l having packs l, l + 32, ….
// Bytes per element of s bytes are the CPU's (rows_cpu.cpp); at most 1 FLOP an element: bound by memory.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// Number of this warp in the grid.
__device__ __forceinline__ int64_t warp_in_grid() {
  return int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
}

/// out[r] = x[index[r]]: 2s bytes an element.
template <class T, int N>
__global__ void gather_rows_forward_kernel(int64_t rows, int64_t width, const T* x, const int32_t* index, T* out) {
  const int64_t row = warp_in_grid();
  if (row >= rows) return;
  const T* from = x + load(index + row) * width;
  out += row * width;
  for (int64_t c = int64_t(threadIdx.x % 32) * N; c < width; c += 32 * N) store_pack<N>(out + c, load_pack<N>(from + c));
}

/// A warp owns a source row and adds its readers in ascending order: (1 + sources/readers) s bytes an element.
template <class T, int N>
__global__ void gather_rows_backward_kernel(int64_t source_rows, int64_t width, const int32_t* begin, const int32_t* reader,
                                            const T* dout, T* dx, bool accumulate) {
  const int64_t row = warp_in_grid();
  if (row >= source_rows) return;
  const int32_t first = load(begin + row), last = load(begin + row + 1);
  dx += row * width;
  for (int64_t c = int64_t(threadIdx.x % 32) * N; c < width; c += 32 * N) {
    float sum[N];
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = 0;
    if (accumulate) {
      const Pack<T, N> before = load_pack<N>(dx + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] = to_float(before[j]);
    }
    for (int32_t i = first; i < last; ++i) {
      const Pack<T, N> d = load_pack<N>(dout + load(reader + i) * width + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += to_float(d[j]);
    }
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>(sum[j]);
    store_pack<N>(dx + c, out);
  }
}

inline constexpr int kMeanWarps = 4;

/// Block (segment, tile of 32 N columns): each warp sums a contiguous quarter of the segment's rows, then the quarters
/// are added in order. s bytes an element of x read, s / count written.
template <class T, int N>
__global__ void segment_mean_forward_kernel(int64_t width, const int32_t* begin, const int32_t* count, const T* x, T* out) {
  SHARED(float, partial, kMeanWarps * 32 * N);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t segment = blockIdx.x, c = (int64_t(blockIdx.y) * 32 + lane) * N;
  const int rows = load(count + segment), quarter = (rows + kMeanWarps - 1) / kMeanWarps;
  const int first = min(rows, warp * quarter), last = min(rows, first + quarter);
  x += load(begin + segment) * width + c;
  float sum[N];
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] = 0;
  if (c < width)
    for (int r = first; r < last; ++r) {
      const Pack<T, N> p = load_pack<N>(x + r * width);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += to_float(p[j]);
    }
#pragma unroll
  for (int j = 0; j < N; ++j) partial[(warp * N + j) * 32 + lane] = sum[j];
  __syncthreads();
  if (warp > 0 || c >= width) return;
  Pack<T, N> mean;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    for (int w = 1; w < kMeanWarps; ++w) sum[j] += partial[(w * N + j) * 32 + lane];
    mean[j] = from_float<T>(sum[j] / float(rows));
  }
  store_pack<N>(out + segment * width + c, mean);
}

/// Block (segment, tile of 32 N columns): the warps take the segment's rows in turn. 2s bytes an element of dx.
template <class T, int N>
__global__ void segment_mean_backward_kernel(int64_t width, const int32_t* begin, const int32_t* count, const T* dout, T* dx) {
  const int64_t segment = blockIdx.x, c = (int64_t(blockIdx.y) * 32 + threadIdx.x % 32) * N;
  if (c >= width) return;
  const int rows = load(count + segment);
  const float share = 1.0f / float(rows);
  const Pack<T, N> d = load_pack<N>(dout + segment * width + c);
  dx += load(begin + segment) * width + c;
  for (int r = threadIdx.x / 32; r < rows; r += blockDim.x / 32) {
    Pack<T, N> p = load_pack<N>(dx + r * width);
#pragma unroll
    for (int j = 0; j < N; ++j) p[j] = from_float<T>(to_float(p[j]) + share * to_float(d[j]));
    store_pack<N>(dx + r * width, p);
  }
}

}  // namespace mome::MOME_DEVICE
