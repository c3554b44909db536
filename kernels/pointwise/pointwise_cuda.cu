#include "kernels/pointwise/pointwise.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/pointwise/pointwise.h"

namespace mome {

using MOME_DEVICE::Dim;

template <class T, class Queue>
void tanh_forward(Queue& queue, int64_t count, const T* x, T* y) {
  queue.launch("tanh_forward", MOME_DEVICE::tanh_forward_kernel<T>, Dim{blocks_of(count, 256)}, Dim{256}, 0, count, x, y);
}

template <class T, class Queue>
void tanh_backward(Queue& queue, int64_t count, const T* y, const T* dy, T* dx) {
  queue.launch("tanh_backward", MOME_DEVICE::tanh_backward_kernel<T>, Dim{blocks_of(count, 256)}, Dim{256}, 0, count, y, dy, dx);
}

template <class T, class Queue>
void add(Queue& queue, int64_t count, const T* x, bool accumulate, T* y) {
  if (!accumulate) return queue.copy(y, x, size_t(count) * sizeof(T));
  queue.launch("add", MOME_DEVICE::add_kernel<T>, Dim{blocks_of(count, 256)}, Dim{256}, 0, count, x, y);
}

template <class T, class Queue>
void add_row(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y) {
  queue.launch("add_row", MOME_DEVICE::add_row_kernel<T>, Dim{blocks_of(rows * width, 256)}, Dim{256}, 0, rows * width, width, x, row, y);
}

#define MOME_INSTANCE(T)                                                                              \
  template void tanh_forward<T>(MOME_DEVICE::Queue&, int64_t, const T*, T*);                           \
  template void tanh_backward<T>(MOME_DEVICE::Queue&, int64_t, const T*, const T*, T*);                \
  template void add<T>(MOME_DEVICE::Queue&, int64_t, const T*, bool, T*);                              \
  template void add_row<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
