// Bias and GELU on the GPU. Forward reads a and writes out, 2·R·F·sizeof(T) bytes; backward reads a and dout, writes da, 3·R·F·sizeof(T),
// and leaves partial column sums for the bias's gradient: one row a chunk of rows, added in order by a second kernel.
// 10 to 30 FLOPs an element: bound by memory traffic. Best measured fraction of copy bandwidth: not measured yet on a GPU.
#pragma once
#include "kernels/arch/device.cuh"
#include "kernels/bias_gelu/bias_gelu.h"

namespace mome::MOME_DEVICE {

/// The tanh and the quick form are u · sigmoid(z(u)), for 1 + tanh(k) = 2 sigmoid(2k); nothing cancels then. Here z and dz/du.
template <Gelu kind>
__device__ __forceinline__ float gate(float u, float* slope) {
  if constexpr (kind == Gelu::kTanh) {
    *slope = 1.5957691216057308f * (1.0f + 0.134145f * u * u);
    return 1.5957691216057308f * (u + 0.044715f * u * u * u);
  }
  *slope = 1.702f;
  return 1.702f * u;
}
template <Gelu kind>
__device__ __forceinline__ float gelu(float u) {
  if constexpr (kind == Gelu::kErf) return 0.5f * u * (1.0f + erff(u * 0.70710678118654752f));
  float slope;
  return u / (1.0f + expf(-gate<kind>(u, &slope)));
}
template <Gelu kind>
__device__ __forceinline__ float gelu_derivative(float u) {
  if constexpr (kind == Gelu::kErf)
    return 0.5f * (1.0f + erff(u * 0.70710678118654752f)) + u * 0.39894228040143268f * expf(-0.5f * u * u);
  float slope;
  const float z = gate<kind>(u, &slope), e = expf(-fabsf(z)), whole = 1.0f / (1.0f + e);
  const float s = z >= 0 ? whole : e * whole, rest = z >= 0 ? e * whole : whole;  // sigmoid(z), sigmoid(-z)
  return s + u * s * rest * slope;
}

/// A thread has N neighbouring elements; all elements in one line.
template <Gelu kind, int N, class T>
__global__ void bias_gelu_forward_kernel(int64_t packs, int64_t width, const T* a, const float* bias, T* out) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= packs) return;
  Pack<T, N> p = load_pack<N>(a + i * N);
  const int64_t c = i * N % width;
#pragma unroll
  for (int j = 0; j < N; ++j) p[j] = from_float<T>(gelu<kind>(to_float(p[j]) + (bias ? load(bias + c + j) : 0.0f)));
  store_pack<N>(out + i * N, p);
}

/// Block: N·blockDim.x columns of one chunk of rows; a thread walks down its columns. partials null: no sums are wanted.
template <Gelu kind, int N, class T>
__global__ void bias_gelu_backward_kernel(int64_t rows, int64_t width, int64_t chunk, const T* a, const float* bias, const T* dout, T* da, float* partials) {
  const int64_t c = (int64_t(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  if (c >= width) return;
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float b[N], sum[N];
#pragma unroll
  for (int j = 0; j < N; ++j) b[j] = bias ? load(bias + c + j) : 0.0f, sum[j] = 0;
  for (int64_t r = begin; r < end; ++r) {
    const Pack<T, N> pa = load_pack<N>(a + r * width + c), pd = load_pack<N>(dout + r * width + c);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float d = to_float(pd[j]) * gelu_derivative<kind>(to_float(pa[j]) + b[j]);
      out[j] = from_float<T>(d);
      sum[j] += d;
    }
    store_pack<N>(da + r * width + c, out);
  }
  if (!partials) return;
#pragma unroll
  for (int j = 0; j < N; ++j) store(partials + blockIdx.x * width + c + j, sum[j]);
}

}  // namespace mome::MOME_DEVICE
