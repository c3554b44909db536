// Sums over a block in fixed order.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// v[k] becomes, in thread 0 alone, its sum over the block: butterflies in the warps, then the warps in order. Threads of
/// whole warps, all of them; once a kernel for each K (the shared array is not guarded for a second use).
template <int K>
__device__ __forceinline__ void block_sum(double (&v)[K]) {
  SHARED(double, warps, 32 * K);
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    v[k] = warp_sum(v[k]);
    if (threadIdx.x % 32 == 0) warps[warp * K + k] = v[k];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < int(blockDim.x) / 32; ++w)
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] += warps[w * K + k];
}

}  // namespace mome::MOME_DEVICE
