// Residual + layer scale + drop path + LayerNorm, one pass over the rows:
//
//   y = x + row_scale[r] * gamma[c] * h          (layer scale: Touvron et al. 2021, CaiT)
//   n = LayerNorm(y) * weight + bias             (absent if weight is null)
//
// row_scale [R] is 0 or 1/(1-p) per sample (stochastic depth, Huang et al. 2016), null: 1.
// gamma [D] null: 1. y may alias x. The norm is that of y as it is stored.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

template <class T>
struct ResidualNorm {
  int64_t rows = 0, width = 0;
  const Real<T>* gamma = nullptr;
  const Real<T>* row_scale = nullptr;
  const Real<T>* weight = nullptr;  // null: no LayerNorm (then n, mean, rstd are not touched)
  const Real<T>* bias = nullptr;
  Real<T> eps = 0;
};

template <class T, class Queue>
void residual_norm_forward(Queue& queue, const ResidualNorm<T>& a, const T* x, const T* h, T* y,
                           T* n, Real<T>* mean, Real<T>* rstd);

/// Given dy (gradient that reaches y from later readers; null: zero) and dn (null iff no
/// LayerNorm):
///   g = dy + LayerNormBackward(dn),  dx = g,  dh = g * row_scale * gamma.
/// dx may alias dy; dh null: not wanted. dgamma, dweight, dbias [D] are added to; each may be null.
/// Every row of x, h, y, dn is read once; parameter gradients are reduced in two stages of fixed
/// order.
template <class T, class Queue>
void residual_norm_backward(Queue& queue, const ResidualNorm<T>& a, const T* h, const T* y,
                            const Real<T>* mean, const Real<T>* rstd, const T* dy, const T* dn,
                            T* dx, T* dh, Real<T>* dgamma, Real<T>* dweight, Real<T>* dbias);

}  // namespace mome
