#include "kernels/layer_norm/layer_norm.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/layer_norm/layer_norm.h"

namespace mome {

template <class T, class Queue>
void layer_norm_forward(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* weight, const Real<T>* bias,
                        Real<T> eps, T* y, Real<T>* mean, Real<T>* rstd) {
  using namespace MOME_DEVICE;
  constexpr int kThreads = 128, kRows = kThreads / 32;
  const Dim grid{unsigned((rows + kRows - 1) / kRows)};
  queue.launch("layer_norm_forward", layer_norm_forward_kernel<T, 1>, grid, {kThreads}, 0, rows, int(width), x, weight, bias, eps, y,
               mean, rstd);
}

#define MOME_INSTANCE(T)                                                                                                  \
  template void layer_norm_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, const float*, float, \
                                      T*, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)

}  // namespace mome
