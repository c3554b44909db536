// LayerNorm of a row that one warp holds in registers: shared by layer_norm and residual_norm. Lane l has packs l, l + 32, … of
// N elements. Rows longer than kHeld · 32 elements are for the looping forms of the callers.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kHeld = 1024 / 32;  // floats a lane holds
inline constexpr int kNormThreads = 128, kNormWarps = kNormThreads / 32;

/// f(slot, column) for each pack of a row of `width` elements: slot counts the lane's floats, column the row's elements.
template <int N, class F>
__device__ __forceinline__ void for_packs(int width, F f) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = (i * 32 + lane) * N;
    if (c < width) f(i * N, c);
  }
}

/// Mean and 1/sqrt(var + eps), the variance about the mean (no E[x²] - E[x]², which cancels).
template <int N>
__device__ __forceinline__ void warp_statistics(int width, const float (&x)[kHeld], float eps, float* mean, float* rstd) {
  float sum = 0;
  for_packs<N>(width, [&](int s, int) {
#pragma unroll
    for (int j = 0; j < N; ++j) sum += x[s + j];
  });
  const float mu = warp_sum(sum) / float(width);
  float square = 0;
  for_packs<N>(width, [&](int s, int) {
#pragma unroll
    for (int j = 0; j < N; ++j) square += (x[s + j] - mu) * (x[s + j] - mu);
  });
  *mean = mu;
  *rstd = rsqrtf(warp_sum(square) / float(width) + eps);
}

}  // namespace mome::MOME_DEVICE
