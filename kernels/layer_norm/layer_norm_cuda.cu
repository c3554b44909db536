// The kernels are residual_norm's, without a residual (kernels/residual_norm/residual_norm.cuh).
#include "kernels/layer_norm/layer_norm.h"

#include "kernels/residual_norm/norm_launch.cuh"

namespace mome {

template <class T, class Queue>
void layer_norm_forward(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* weight, const Real<T>* bias, Real<T> eps, T* y,
                        Real<T>* mean, Real<T>* rstd) {
  ResidualNorm<T> a;
  a.rows = rows, a.width = width, a.weight = weight, a.bias = bias, a.eps = eps;
  MOME_DEVICE::launch_norm_forward(queue, "layer_norm_forward", a, x, static_cast<const T*>(nullptr), static_cast<T*>(nullptr), y, mean, rstd);
}

template <class T, class Queue>
void layer_norm_backward(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* weight, const Real<T>* mean, const Real<T>* rstd,
                         const T* dy, T* dx, bool accumulate, Real<T>* dweight, Real<T>* dbias) {
  ResidualNorm<T> a;
  a.rows = rows, a.width = width, a.weight = weight;
  MOME_DEVICE::launch_norm_backward(queue, "layer_norm_backward", a, static_cast<const T*>(nullptr), x, mean, rstd, static_cast<const T*>(nullptr), dy, dx,
                                    accumulate, static_cast<T*>(nullptr), nullptr, dweight, dbias);
}

#define MOME_INSTANCE(T)                                                                                                                  \
  template void layer_norm_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, const float*, float, T*, float*,     \
                                      float*);                                                                                            \
  template void layer_norm_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, const float*, const float*, const T*, \
                                       T*, bool, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
