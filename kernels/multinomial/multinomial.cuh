// A warp a row: one visit for the largest allowed score, one that adds the weights exp(score - largest), one that walks
// their running sum in tiles of 32 columns until it passes the drawn point. N^2 similarities are read up to three times
// (4 bytes each), 2 N^2 exponentials. Where rows are columns of the matrix (cs = n) a lane's load touches 32 bytes for 4,
// of which the 8 warps of a block, which have neighbouring rows, use all from L1.
#pragma once
#include "kernels/arch/device.cuh"
#include "kernels/common/philox.h"
#include "kernels/multinomial/multinomial.h"

namespace mome::MOME_DEVICE {

/// Sum over this lane and those before it.
__device__ __forceinline__ double warp_running_sum(double v) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const double before = __shfl_up_sync(kFullMask, v, step);
    if (lane >= step) v += before;
  }
  return v;
}

/// Row i's candidates: all columns but its own and those of other true pairs.
struct NegativeRow {
  const float* similarity;  // of the row
  int64_t cs;
  const int64_t *image, *caption;
  int n, i;
  float scale;

  __device__ __forceinline__ bool candidate(int j) const {
    return j < n && j != i && !(image && load(image + i) == load(image + j)) && !(caption && load(caption + i) == load(caption + j));
  }
  __device__ __forceinline__ float score(int j) const { return scale * load(similarity + j * cs); }
};

__global__ void draw_negatives_kernel(int n, const float* similarity, int64_t rs, int64_t cs, const float* log_scale,
                                             const int64_t* image_id, const int64_t* caption_id, uint64_t seed, uint64_t step,
                                             uint64_t stream, int32_t* negative) {
  const int lane = threadIdx.x % 32, i = int(blockIdx.x) * int(blockDim.x / 32) + threadIdx.x / 32;
  if (i >= n) return;
  const float scale = log_scale ? float(exp(double(load(log_scale)))) : 0.0f;
  const NegativeRow row{similarity + i * rs, cs, image_id, caption_id, n, i, scale};

  float largest = -INFINITY;
  int candidates = 0;
  for (int tile = 0; tile < n; tile += 32) {
    const int j = tile + lane;
    const bool allowed = row.candidate(j);
    if (allowed) largest = fmaxf(largest, row.score(j));
    candidates += __popc(__ballot_sync(kFullMask, allowed));
  }
  largest = warp_max(largest);
  double total = 0;
  for (int j = lane; j < n; j += 32)
    if (row.candidate(j)) total += double(expf(row.score(j) - largest));
  total = warp_sum(total);
  // Without any weight (scores of -inf or NaN alone) all candidates are alike.
  const bool alike = !(total > 0);
  if (alike) total = candidates;

  // 53 bits: 24 would never draw a candidate of probability below 6e-8.
  const PhiloxWords word = philox(seed, step, Purpose::kNegative, (stream << 32) + uint64_t(i));
  const double target = double((uint64_t(word[0]) << 32 | word[1]) >> 11) * 0x1p-53 * total;
  double before = 0;
  int drawn = -1;
  for (int tile = 0; tile < n; tile += 32) {
    const int j = tile + lane;
    const double weight = !row.candidate(j) ? 0.0 : alike ? 1.0 : double(expf(row.score(j) - largest));
    const double sum = before + warp_running_sum(weight);
    const unsigned weighty = __ballot_sync(kFullMask, weight > 0), beyond = __ballot_sync(kFullMask, weight > 0 && sum > target);
    if (weighty) drawn = tile + 31 - __clz(int(weighty));  // also where rounding leaves the whole sum at or below the target
    if (beyond) {
      drawn = tile + __ffs(int(beyond)) - 1;
      break;
    }
    before = __shfl_sync(kFullMask, sum, 31);
  }
  if (lane == 0) store(negative + i, int32_t(drawn));
}

}  // namespace mome::MOME_DEVICE
