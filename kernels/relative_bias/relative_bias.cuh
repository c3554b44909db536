// The relative position bias on the GPU, in float.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// bias[h, e] = table[index[e], column + h]: a thread owns a position e and walks the heads, so
/// that an index is read once and a warp writes 32 neighbours. Bytes per position: 4 of index, 4H
/// written, 4H gathered from a table that stays in cache.
__global__ void relative_bias_forward_kernel(int64_t positions, const int32_t* index,
                                             const float* table, int64_t ld, int64_t heads,
                                             float* bias) {
  const int64_t e = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= positions) return;
  table += load(index + e) * ld;
#pragma unroll 4
  for (int64_t h = 0; h < heads; ++h) store(bias + h * positions + e, load(table + h));
}

/// dtable[row, column + h] += sum of dbias[h, e] over the row's positions e: a warp owns (row,
/// head), lane l adds the positions l, l + 32, … of the list, then the lanes are summed: an order
/// that only the list fixes. Bytes per position: 4H of dbias and, once a head, 4 of the list (from
/// cache); 1 FLOP a head.
__global__ void relative_bias_backward_kernel(int64_t table_rows, int64_t positions,
                                              const int32_t* begin, const int32_t* inverse,
                                              const float* dbias, int64_t heads, float* dtable,
                                              int64_t ld) {
  const int64_t item = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (item >= table_rows * heads) return;
  const int64_t row = item % table_rows, head = item / table_rows;
  const int lane = threadIdx.x % 32;
  const int32_t first = load(begin + row), last = load(begin + row + 1);
  if (first == last) return;  // most rows of a short text
  dbias += head * positions;
  float sum = 0;
#pragma unroll 8
  for (int32_t i = first + lane; i < last; i += 32) sum += load(dbias + load(inverse + i));
  sum = warp_sum(sum);
  if (lane > 0) return;
  dtable += row * ld + head;
  store(dtable, load(dtable) + sum);
}

}  // namespace mome::MOME_DEVICE
