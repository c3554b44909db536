// Element by element on the GPU: one read of each operand, one write; bound by memory. Small matrices of a step (the pooled rows,
// the texts' embeddings), so a thread has one element.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

__device__ __forceinline__ int64_t element_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

template <class T>
__global__ void tanh_forward_kernel(int64_t count, const T* x, T* y) {
  const int64_t i = element_index();
  if (i < count) store(y + i, from_float<T>(tanhf(to_float(load(x + i)))));
}
template <class T>
__global__ void tanh_backward_kernel(int64_t count, const T* y, const T* dy, T* dx) {
  const int64_t i = element_index();
  if (i >= count) return;
  const float v = to_float(load(y + i));
  store(dx + i, from_float<T>(to_float(load(dy + i)) * (1.0f - v * v)));
}
template <class T>
__global__ void add_kernel(int64_t count, const T* x, T* y) {
  const int64_t i = element_index();
  if (i < count) store(y + i, from_float<T>(to_float(load(y + i)) + to_float(load(x + i))));
}
template <class T>
__global__ void add_row_kernel(int64_t count, int64_t width, const T* x, const float* row, T* y) {
  const int64_t i = element_index();
  if (i < count) store(y + i, from_float<T>(to_float(load(x + i)) + load(row + i % width)));
}

}  // namespace mome::MOME_DEVICE
