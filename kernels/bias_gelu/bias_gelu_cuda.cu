#include "kernels/arch/queue.cuh"
#include "kernels/bias_gelu/bias_gelu.cuh"
#include "kernels/common/column_sum.cuh"
#include "kernels/common/launch_shape.h"

namespace mome {

template <class T, class Queue>
void bias_gelu_forward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a,
                       const Real<T>* bias, T* out) {
  using namespace MOME_DEVICE;
  const auto launch = [&](auto kernel, int n) {
    queue.launch("bias_gelu_forward", kernel,
                 Dim{blocks_of(rows, kGeluRows), blocks_of(width, kGeluThreads * n)},
                 Dim{kGeluThreads}, 0, kind, rows, width, a, bias, out);
  };
  if (packable<kPack<T>>(width, a, out))
    launch(bias_gelu_forward_kernel<T, kPack<T>>, kPack<T>);
  else
    launch(bias_gelu_forward_kernel<T, 1>, 1);
}

template <class T, class Queue>
void bias_gelu_backward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a,
                        const Real<T>* bias, const T* dout, T* da, Real<T>* dbias) {
  using namespace MOME_DEVICE;
  if (rows <= 0 || width <= 0) return;
  const int64_t chunk = dbias ? sum_chunk(rows) : kGeluRows, chunks = (rows + chunk - 1) / chunk;
  float* partials =
      dbias ? static_cast<float*>(queue.workspace(size_t(chunks * width) * sizeof(float)))
            : nullptr;
  const auto launch = [&](auto kernel, int n) {
    queue.launch("bias_gelu_backward", kernel,
                 Dim{unsigned(chunks), blocks_of(width, kGeluThreads * n)}, Dim{kGeluThreads}, 0,
                 kind, rows, width, chunk, a, bias, dout, da, partials);
  };
  if (packable<kPack<T>>(width, a, dout, da))
    launch(bias_gelu_backward_kernel<T, kPack<T>>, kPack<T>);
  else
    launch(bias_gelu_backward_kernel<T, 1>, 1);
  if (dbias)
    queue.launch("bias_gelu_dbias", add_partials_kernel<float>, Dim{blocks_of(width, kSumThreads)},
                 Dim{kSumThreads}, 0, chunks, width, partials, dbias);
}

#define MOME_INSTANCE(T)                                                                     \
  template void bias_gelu_forward<T>(MOME_DEVICE::Queue&, Gelu, int64_t, int64_t, const T*,  \
                                     const float*, T*);                                      \
  template void bias_gelu_backward<T>(MOME_DEVICE::Queue&, Gelu, int64_t, int64_t, const T*, \
                                      const float*, const T*, T*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
