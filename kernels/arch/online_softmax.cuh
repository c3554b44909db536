// The statistics of a softmax in one pass (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax").
#pragma once
#include <cfloat>

#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// Largest value v and sum of exp(scale * (v - largest)) of what was added. -FLT_MAX is below every finite value's
/// difference that counts, and unlike -inf gives no NaN when empty statistics meet.
struct OnlineSoftmax {
  float scale = 1;
  float largest = -FLT_MAX, sum = 0;

  __device__ __forceinline__ void raise(float v) {
    if (!(v > largest)) return;
    sum *= expf(scale * (largest - v));
    largest = v;
  }
  __device__ __forceinline__ void add(float v) {
    raise(v);
    sum += expf(scale * (v - largest));
  }
  template <int N>
  __device__ __forceinline__ void add(const float (&v)[N]) {
    float most = v[0];
#pragma unroll
    for (int j = 1; j < N; ++j) most = fmaxf(most, v[j]);
    raise(most);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += expf(scale * (v[j] - largest));
  }
  __device__ __forceinline__ void merge(float other_largest, float other_sum) {
    raise(other_largest);
    sum += other_sum * expf(scale * (other_largest - largest));
  }

  /// Over the lanes of a warp; all get the same bits.
  __device__ __forceinline__ void merge_warp() {
    const float most = warp_max(largest);
    sum = warp_sum(sum * expf(scale * (largest - most)));
    largest = most;
  }
};

/// Over the block: every thread gets the same bits, and whether `flag` was set in any. Once a kernel, whole warps.
__device__ __forceinline__ int merge_block(OnlineSoftmax& s, int flag) {
  SHARED(float, largest, 32);
  SHARED(float, sum, 32);
  SHARED(int, flags, 32);
  s.merge_warp();
  flag = __any_sync(kFullMask, flag);
  if (threadIdx.x % 32 == 0) {
    const int warp = threadIdx.x / 32;
    largest[warp] = s.largest, sum[warp] = s.sum, flags[warp] = flag;
  }
  __syncthreads();
  s.largest = largest[0], s.sum = sum[0], flag = flags[0];
  for (int w = 1; w < int(blockDim.x) / 32; ++w) {
    s.merge(largest[w], sum[w]);
    flag |= flags[w];
  }
  return flag;
}

}  // namespace mome::MOME_DEVICE
