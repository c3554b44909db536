// LayerNorm (Ba, Kiros, Hinton 2016):  y = (x - mean) / sqrt(var + eps) * w + b, per row; var is
// the biased variance. Rows [R, D] contiguous. mean and rstd [R] are saved for backward.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

template <class T, class Queue>
void layer_norm_forward(Queue& queue, int64_t rows, int64_t width, const T* x,
                        const Real<T>* weight, const Real<T>* bias, Real<T> eps, T* y,
                        Real<T>* mean, Real<T>* rstd);

/// dx is assigned, or added to if `accumulate`; dweight and dbias [D] are added to (both null: the
/// parameters are frozen). dx may alias dy.
template <class T, class Queue>
void layer_norm_backward(Queue& queue, int64_t rows, int64_t width, const T* x,
                         const Real<T>* weight, const Real<T>* mean, const Real<T>* rstd,
                         const T* dy, T* dx, bool accumulate, Real<T>* dweight, Real<T>* dbias);

}  // namespace mome
