// Dropout and drop path on the GPU: the CPU's draws, made again in registers in every pass. A thread has the four words of one
// Philox call. Reads x, writes y: 2·s bytes an element, ~25 integer operations. Bound by memory from fp32 on.
#pragma once
#include "kernels/arch/device.cuh"
#include "kernels/common/philox.h"

namespace mome::MOME_DEVICE {

/// (word >> 8) < threshold is dropped.
template <class T>
__global__ void dropout_kernel(int64_t count, const T* x, uint32_t threshold, float scale, uint64_t seed, uint64_t step, uint64_t first_call, T* y) {
  const int64_t call = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (call * 4 >= count) return;
  const PhiloxWords words = philox(seed, step, Purpose::kDropout, first_call + uint64_t(call));
  for (int j = 0; j < 4; ++j) {
    const int64_t i = call * 4 + j;
    if (i >= count) return;
    const float v = to_float(load(x + i));
    store(y + i, from_float<T>((words[j] >> 8) < threshold ? 0.0f : v * scale));
  }
}

static __global__ void drop_path_scale_kernel(int64_t rows, const int32_t* sample, uint32_t threshold, float keep, uint64_t seed, uint64_t step,
                                              uint64_t first_call, float* row_scale) {
  const int64_t r = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  const uint32_t s = uint32_t(load(sample + r));
  const PhiloxWords words = philox(seed, step, Purpose::kDropPath, first_call + s / 4);
  store(row_scale + r, (words[int(s % 4)] >> 8) < threshold ? 0.0f : keep);
}

}  // namespace mome::MOME_DEVICE
