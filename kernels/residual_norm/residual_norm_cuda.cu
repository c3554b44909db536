#include "kernels/residual_norm/norm_launch.cuh"

namespace mome {

template <class T, class Queue>
void residual_norm_forward(Queue& queue, const ResidualNorm<T>& a, const T* x, const T* h, T* y, T* n, Real<T>* mean, Real<T>* rstd) {
  MOME_DEVICE::launch_norm_forward(queue, "residual_norm_forward", a, x, h, y, n, mean, rstd);
}

template <class T, class Queue>
void residual_norm_backward(Queue& queue, const ResidualNorm<T>& a, const T* h, const T* y, const Real<T>* mean, const Real<T>* rstd, const T* dy,
                            const T* dn, T* dx, T* dh, Real<T>* dgamma, Real<T>* dweight, Real<T>* dbias) {
  MOME_DEVICE::launch_norm_backward(queue, "residual_norm_backward", a, h, y, mean, rstd, dy, dn, dx, false, dh, dgamma, dweight, dbias);
}

#define MOME_INSTANCE(T)                                                                                                              \
  template void residual_norm_forward<T>(MOME_DEVICE::Queue&, const ResidualNorm<T>&, const T*, const T*, T*, T*, float*, float*);     \
  template void residual_norm_backward<T>(MOME_DEVICE::Queue&, const ResidualNorm<T>&, const T*, const T*, const float*, const float*, \
                                          const T*, const T*, T*, T*, float*, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
