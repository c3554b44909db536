#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/pointwise/pointwise.cuh"
#include "kernels/pointwise/pointwise.h"

namespace mome {
namespace {

template <MOME_DEVICE::Pointwise kOp, class T>
void pointwise(MOME_DEVICE::Queue& queue, const char* name, int64_t count, const T* a, const T* b,
               T* y) {
  using namespace MOME_DEVICE;
  const bool packs = whole_packs(a, b, y);
  queue.launch(name, packs ? pointwise_kernel<kOp, T, kPack<T>> : pointwise_kernel<kOp, T, 1>,
               Dim{blocks_of(count, kPointwiseThreads * (packs ? kPack<T> : 1))},
               Dim{kPointwiseThreads}, 0, count, a, b, y);
}

}  // namespace

template <class T, class Queue>
void tanh_forward(Queue& queue, int64_t count, const T* x, T* y) {
  pointwise<MOME_DEVICE::Pointwise::kTanh, T>(queue, "tanh_forward", count, x, nullptr, y);
}

template <class T, class Queue>
void tanh_backward(Queue& queue, int64_t count, const T* y, const T* dy, T* dx) {
  pointwise<MOME_DEVICE::Pointwise::kTanhGradient>(queue, "tanh_backward", count, y, dy, dx);
}

template <class T, class Queue>
void add_row(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y) {
  using namespace MOME_DEVICE;
  const bool packs = packable<kPack<T>>(width, x, y);
  queue.launch("add_row", packs ? add_row_kernel<T, kPack<T>> : add_row_kernel<T, 1>,
               Dim{unsigned(rows), blocks_of(width, kPointwiseThreads * (packs ? kPack<T> : 1))},
               Dim{kPointwiseThreads}, 0, width, x, row, y);
}

template <class T, class Queue>
void add(Queue& queue, int64_t count, const T* x, T* y) {
  pointwise<MOME_DEVICE::Pointwise::kAdd>(queue, "add", count, x, static_cast<const T*>(y), y);
}

#define MOME_INSTANCE(T)                                                                       \
  template void tanh_forward<T>(MOME_DEVICE::Queue&, int64_t, const T*, T*);                   \
  template void tanh_backward<T>(MOME_DEVICE::Queue&, int64_t, const T*, const T*, T*);        \
  template void add_row<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, T*); \
  template void add<T>(MOME_DEVICE::Queue&, int64_t, const T*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
