// A block a row, in one visit: loss, gradient and the largest logit. Targets are few and in any
// order: a tile of them is laid out densely in shared memory, so that each logit meets its target
// when it is read and its gradient is rounded once. Rows start at any element (3,129 answers):
// packs of 16 bytes lie between two partial ones. Memory: 2 s bytes a logit of s bytes (s if logits
// are kept); 1 exponential, 1 logarithm, 1 division and about 40 FLOPs, one of them in double. The
// 128 x 3,129 logits of VLMo's batch are less than a wave of blocks: latency bounds it.
#pragma once
#include "kernels/arch/block_sum.cuh"
#include "kernels/binary_cross_entropy/binary_cross_entropy.h"

namespace mome::MOME_DEVICE {

inline constexpr int kTargetTile = 4096;  // classes whose targets lie in shared memory at a time

/// The largest logit so far, the first of equals, and its target. NaN is never the largest.
struct LargestLogit {
  float value = -INFINITY;
  int place = INT32_MAX;
  float score = 0;
  __device__ __forceinline__ void meet(float v, int j, float target) {
    if (v > value || (v == value && j < place)) value = v, place = j, score = target;
  }
  __device__ __forceinline__ void meet_warp() {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const float v = __shfl_xor_sync(kFullMask, value, step);
      const int j = __shfl_xor_sync(kFullMask, place, step);
      meet(v, j, __shfl_xor_sync(kFullMask, score, step));
    }
  }
};

/// Blocks of whole warps, at most 512 threads. Block r: row r.
template <class T>
__global__ void __launch_bounds__(512)
    binary_cross_entropy_kernel(int classes, T* logits, int64_t ld, const int32_t* begin,
                                const int32_t* target_class, const float* target_score,
                                float weight, const float* loss_scale, bool keep,
                                BinaryCrossEntropyResult* per_row) {
  constexpr int N = kPack<T>;
  SHARED(float, target, kTargetTile);
  SHARED(float, warp_value, 16);
  SHARED(int, warp_place, 16);
  SHARED(float, warp_score, 16);
  const int64_t row = blockIdx.x;
  T* x = logits + row * ld;
  const int from = load(begin + row), to = load(begin + row + 1);
  if (loss_scale) weight *= load(loss_scale);
  const int head = int((16 - uintptr_t(x) % 16) % 16 / sizeof(T));

  double v[1] = {0};
  LargestLogit largest;
  for (int base = head > 0 ? head - N : 0; base < classes; base += kTargetTile) {
    for (int i = threadIdx.x; i < kTargetTile && base + i < classes; i += blockDim.x) target[i] = 0;
    __syncthreads();
    for (int k = from + threadIdx.x; k < to; k += blockDim.x) {
      const int i = load(target_class + k) - base;
      if (i >= 0 && i < kTargetTile) target[i] = load(target_score + k);
    }
    __syncthreads();
    for (int i = threadIdx.x * N; i < kTargetTile && base + i < classes; i += blockDim.x * N) {
      const int first = base + i;
      const bool whole = first >= 0 && first + N <= classes;
      Pack<T, N> p;
      if (whole) {
        p = load_pack<N>(x + first);
      } else {
#pragma unroll
        for (int j = 0; j < N; ++j)
          if (first + j >= 0 && first + j < classes) p[j] = load(x + first + j);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (first + j < 0 || first + j >= classes) continue;
        const float logit = to_float(p[j]), t = target[i + j], far = fabsf(logit), e = expf(-far);
        const float u = logit >= 0 ? 1.0f - t : t;
        largest.meet(logit, first + j, t);
        v[0] += double(far * u + log1pf(e));
        const float g = weight * (u - e / (1.0f + e));
        p[j] = from_float<T>(logit >= 0 ? g : -g);
        if (!keep && !whole) store(x + first + j, p[j]);
      }
      if (!keep && whole) store_pack<N>(x + first, p);
    }
    __syncthreads();  // the next tile's targets take the place of these
  }
  largest.meet_warp();
  if (threadIdx.x % 32 == 0) {
    const int warp = threadIdx.x / 32;
    warp_value[warp] = largest.value, warp_place[warp] = largest.place,
    warp_score[warp] = largest.score;
  }
  block_sum(v);  // and a barrier
  if (threadIdx.x != 0) return;
  for (int w = 1; w < int(blockDim.x) / 32; ++w)
    largest.meet(warp_value[w], warp_place[w], warp_score[w]);
  BinaryCrossEntropyResult r;
  r.loss = v[0], r.score = double(largest.score), r.rows = 1;
  store(per_row + row, r);
}

/// One block: thread i adds rows i, i + threads, ….
__global__ void binary_cross_entropy_sum_kernel(int64_t rows,
                                                const BinaryCrossEntropyResult* per_row,
                                                BinaryCrossEntropyResult* result) {
  double v[2] = {0, 0};
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) {
    const BinaryCrossEntropyResult one = load(per_row + r);
    v[0] += one.loss, v[1] += one.score;
  }
  block_sum(v);
  if (threadIdx.x != 0) return;
  BinaryCrossEntropyResult total;
  total.loss = v[0], total.score = v[1], total.rows = rows;
  store(result, total);
}

}  // namespace mome::MOME_DEVICE
