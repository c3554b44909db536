// LayerNorm on the GPU. A warp owns a row and holds it in registers (up to 1,024 elements; longer rows are read again
// from L2), so that memory sees each operand once.
//
// Forward: reads R·D, writes R·D (+ 2R statistics); ~8 FLOPs an element: bound by memory traffic, 2·R·D·sizeof(T) bytes.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// One row's elements as a warp holds them: lane l has packs l, l + 32, … of N elements.
inline constexpr int kHeld = 1024 / 32;  // floats a lane holds

template <class T, int N>
__global__ void layer_norm_forward_kernel(int64_t rows, int width, const T* x, const float* weight, const float* bias, float eps,
                                          T* y, float* mean, float* rstd) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  x += row * width, y += row * width;
  float held[kHeld];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = (i * 32 + lane) * N;
    if (c >= width) break;
    const Pack<T, N> p = load_pack<N>(x + c);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += held[i * N + j] = to_float(p[j]);
  }
  const float mu = warp_sum(sum) / float(width);
  float square = 0;
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    if ((i * 32 + lane) * N >= width) break;
#pragma unroll
    for (int j = 0; j < N; ++j) square += (held[i * N + j] - mu) * (held[i * N + j] - mu);
  }
  const float r = rsqrtf(warp_sum(square) / float(width) + eps);
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = (i * 32 + lane) * N;
    if (c >= width) break;
    const Pack<float, N> w = load_pack<N>(weight + c), b = load_pack<N>(bias + c);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>((held[i * N + j] - mu) * r * w[j] + b[j]);
    store_pack<N>(y + c, out);
  }
  if (lane == 0) store(mean + row, mu), store(rstd + row, r);
}

}  // namespace mome::MOME_DEVICE
