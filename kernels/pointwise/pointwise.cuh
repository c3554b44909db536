// Elementwise operations on the GPU: a thread takes one pack. Per element of s bytes: tanh forward
// and add_row 2 s, tanh backward and add 3 s; bound by memory.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kPointwiseThreads = 256;

enum class Pointwise { kTanh, kTanhGradient, kAdd };

template <Pointwise kOp>
__device__ __forceinline__ float pointwise_value(float a, float b) {
  if constexpr (kOp == Pointwise::kTanh) return tanhf(a);
  if constexpr (kOp == Pointwise::kTanhGradient) return b * (1.0f - a * a);
  if constexpr (kOp == Pointwise::kAdd) return a + b;
}

/// y = op(a, b); b is not read by tanh. N > 1: pointers allow whole packs; the last elements are
/// single.
template <Pointwise kOp, class T, int N>
__global__ void __launch_bounds__(kPointwiseThreads)
    pointwise_kernel(int64_t count, const T* a, const T* b, T* y) {
  const int64_t first = (int64_t(blockIdx.x) * kPointwiseThreads + threadIdx.x) * N;
  if (first + N <= count) {
    Pack<T, N> p = load_pack<N>(a + first), q = p;
    if constexpr (kOp != Pointwise::kTanh) q = load_pack<N>(b + first);
#pragma unroll
    for (int j = 0; j < N; ++j)
      p[j] = from_float<T>(pointwise_value<kOp>(to_float(p[j]), to_float(q[j])));
    store_pack<N>(y + first, p);
    return;
  }
  for (int64_t i = first; i < count; ++i) {
    const float v = to_float(load(a + i));
    store(y + i, from_float<T>(pointwise_value<kOp>(
                     v, kOp != Pointwise::kTanh ? to_float(load(b + i)) : 0.0f)));
  }
}

/// Grid: rows x tiles of kPointwiseThreads * N columns.
template <class T, int N>
__global__ void __launch_bounds__(kPointwiseThreads)
    add_row_kernel(int64_t width, const T* x, const float* row, T* y) {
  const int64_t c = (int64_t(blockIdx.y) * kPointwiseThreads + threadIdx.x) * N,
                at = int64_t(blockIdx.x) * width + c;
  if (c >= width) return;
  Pack<T, N> p = load_pack<N>(x + at);
#pragma unroll
  for (int j = 0; j < N; ++j) p[j] = from_float<T>(to_float(p[j]) + load(row + c + j));
  store_pack<N>(y + at, p);
}

}  // namespace mome::MOME_DEVICE
