// The kernels and their model: kernels/layer_norm/layer_norm.cuh.
#include "kernels/layer_norm/norm_launch.cuh"
#include "kernels/residual_norm/residual_norm.h"

namespace mome {

template <class T, class Queue>
void residual_norm_forward(Queue& queue, const ResidualNorm<T>& a, const T* x, const T* h, T* y,
                           T* n, Real<T>* mean, Real<T>* rstd) {
  const MOME_DEVICE::NormForward<T> f{
      a.rows, int(a.width), a.gamma, a.row_scale, a.weight, a.bias, a.eps, x, h, y, n, mean, rstd};
  MOME_DEVICE::norm_forward(queue, "residual_norm_forward", f);
}

template <class T, class Queue>
void residual_norm_backward(Queue& queue, const ResidualNorm<T>& a, const T* h, const T* y,
                            const Real<T>* mean, const Real<T>* rstd, const T* dy, const T* dn,
                            T* dx, T* dh, Real<T>* dgamma, Real<T>* dweight, Real<T>* dbias) {
  MOME_DEVICE::NormBackward<T> b{};
  b.rows = a.rows, b.width = int(a.width), b.gamma = a.gamma, b.row_scale = a.row_scale,
  b.weight = a.weight;
  b.h = h, b.y = y, b.mean = mean, b.rstd = rstd, b.dy = dy, b.dn = a.weight ? dn : nullptr,
  b.dx = dx, b.dh = dh;
  MOME_DEVICE::norm_backward(queue, "residual_norm_backward", b, dweight, dbias, dgamma);
}

#define MOME_INSTANCE(T)                                                                         \
  template void residual_norm_forward<T>(MOME_DEVICE::Queue&, const ResidualNorm<T>&, const T*,  \
                                         const T*, T*, T*, float*, float*);                      \
  template void residual_norm_backward<T>(MOME_DEVICE::Queue&, const ResidualNorm<T>&, const T*, \
                                          const T*, const float*, const float*, const T*,        \
                                          const T*, T*, T*, float*, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
