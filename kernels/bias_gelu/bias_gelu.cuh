// out = gelu(a + bias) and its gradient on the GPU. A thread owns a pack of columns and walks down
// rows, kGeluRows at a time so that their loads are under way together: the bias stays in
// registers, and so does the sum of its gradient, one partial row for each chunk of rows
// (kernels/common/column_sum.cuh adds them).
//
// Reads and writes of s bytes an element: forward 2, backward 3. FLOPs: about 30 forward, 45
// backward (erf), less for the others: bound by memory in 32 bits, near the balance in 16.
//
// tanh and quick are u * sigmoid(z(u)), as on the CPU: without the cancellation of 1 + tanh at
// negative u.
#pragma once
#include "kernels/arch/device.cuh"
#include "kernels/bias_gelu/bias_gelu.h"

namespace mome::MOME_DEVICE {

inline constexpr int kGeluThreads = 128, kGeluRows = 4;

struct GeluSigmoid {
  float value, derivative;
};
/// From exp(-|z|): neither loses digits where the sigmoid is near 1.
__device__ __forceinline__ GeluSigmoid gelu_sigmoid(float z) {
  const float e = expf(-fabsf(z)), r = 1.0f / (1.0f + e);
  return {z < 0 ? e * r : r, e * r * r};
}
inline constexpr float kTanhScale = 1.59576912160573071176f;  // 2 sqrt(2/pi)
inline constexpr float kTanhCubic = 0.044715f;
inline constexpr float kQuickScale = 1.702f;
inline constexpr float kSqrtHalf = 0.707106781186547524401f;
inline constexpr float kDensity = 0.398942280401432677940f;  // 1 / sqrt(2 pi)

template <int N>
__device__ __forceinline__ void gelu_values(Gelu kind, float (&u)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float v = u[j];
    if (kind == Gelu::kErf)
      u[j] = 0.5f * v * (1.0f + erff(v * kSqrtHalf));
    else
      u[j] = v * gelu_sigmoid(kind == Gelu::kTanh ? kTanhScale * (v + kTanhCubic * v * v * v)
                                                  : kQuickScale * v)
                     .value;
  }
}
template <int N>
__device__ __forceinline__ void gelu_derivatives(Gelu kind, float (&u)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float v = u[j];
    if (kind == Gelu::kErf) {
      u[j] = 0.5f * (1.0f + erff(v * kSqrtHalf)) + v * (kDensity * expf(-0.5f * v * v));
    } else {
      const bool cubic = kind == Gelu::kTanh;
      const GeluSigmoid s =
          gelu_sigmoid(cubic ? kTanhScale * (v + kTanhCubic * v * v * v) : kQuickScale * v);
      u[j] = s.value + v * s.derivative *
                           (cubic ? kTanhScale * (1.0f + 3.0f * kTanhCubic * v * v) : kQuickScale);
    }
  }
}

template <int N>
__device__ __forceinline__ void load_bias(const float* bias, int64_t column, float (&b)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j) b[j] = bias ? load(bias + column + j) : 0.0f;
}

/// Grid: groups of kGeluRows rows x tiles of kGeluThreads * N columns.
template <class T, int N>
__global__ void __launch_bounds__(kGeluThreads)
    bias_gelu_forward_kernel(Gelu kind, int64_t rows, int64_t width, const T* a, const float* bias,
                             T* out) {
  const int64_t c = (int64_t(blockIdx.y) * kGeluThreads + threadIdx.x) * N,
                first = int64_t(blockIdx.x) * kGeluRows;
  if (c >= width) return;
  Pack<T, N> p[kGeluRows];
#pragma unroll
  for (int k = 0; k < kGeluRows; ++k)
    if (first + k < rows) p[k] = load_pack<N>(a + (first + k) * width + c);
  float b[N];
  load_bias<N>(bias, c, b);
#pragma unroll
  for (int k = 0; k < kGeluRows; ++k) {
    if (first + k >= rows) break;
    float u[N];
#pragma unroll
    for (int j = 0; j < N; ++j) u[j] = to_float(p[k][j]) + b[j];
    gelu_values<N>(kind, u);
#pragma unroll
    for (int j = 0; j < N; ++j) p[k][j] = from_float<T>(u[j]);
    store_pack<N>(out + (first + k) * width + c, p[k]);
  }
}

/// Grid: chunks of rows x tiles of kGeluThreads * N columns. partials [chunks, F] null: not wanted.
template <class T, int N>
__global__ void __launch_bounds__(kGeluThreads)
    bias_gelu_backward_kernel(Gelu kind, int64_t rows, int64_t width, int64_t chunk, const T* a,
                              const float* bias, const T* dout, T* da, float* partials) {
  const int64_t c = (int64_t(blockIdx.y) * kGeluThreads + threadIdx.x) * N,
                begin = int64_t(blockIdx.x) * chunk;
  if (c >= width) return;
  const int64_t end = begin + chunk < rows ? begin + chunk : rows;
  float b[N], sum[N] = {};
  load_bias<N>(bias, c, b);
  for (int64_t first = begin; first < end; first += kGeluRows) {
    Pack<T, N> p[kGeluRows], d[kGeluRows];
#pragma unroll
    for (int k = 0; k < kGeluRows; ++k)
      if (first + k < end) {
        p[k] = load_pack<N>(a + (first + k) * width + c);
        d[k] = load_pack<N>(dout + (first + k) * width + c);
      }
#pragma unroll
    for (int k = 0; k < kGeluRows; ++k) {
      if (first + k >= end) break;
      float u[N];
#pragma unroll
      for (int j = 0; j < N; ++j) u[j] = to_float(p[k][j]) + b[j];
      gelu_derivatives<N>(kind, u);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float g = to_float(d[k][j]) * u[j];
        sum[j] += g;
        p[k][j] = from_float<T>(g);
      }
      store_pack<N>(da + (first + k) * width + c, p[k]);
    }
  }
  if (!partials) return;
#pragma unroll
  for (int j = 0; j < N; ++j) store(partials + blockIdx.x * width + c + j, sum[j]);
}

}  // namespace mome::MOME_DEVICE
