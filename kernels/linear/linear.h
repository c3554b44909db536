// y = x W^T + b, and its gradients; the products go to BLAS.
// x [R, K] with row stride ldx, W [N, K] (PyTorch's layout), b [N] or null, y [R, N] with stride
// ldy. With 16-bit T: sums in float, b rounded to T first (as the weights are), sum + b rounded
// once to y; gradients of W and b in float.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

template <class T, class Queue>
void linear_forward(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx,
                    const T* weight, const Real<T>* bias, T* y, int64_t ldy);

/// dx = dy W, assigned or, if `accumulate`, added. dx null: not wanted.
template <class T, class Queue>
void linear_backward_input(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* dy,
                           int64_t lddy, const T* weight, T* dx, int64_t lddx, bool accumulate);

/// dW += dy^T x, db += column sums of dy (db null: not wanted; dW null: frozen, no product is run).
template <class T, class Queue>
void linear_backward_weight(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x,
                            int64_t ldx, const T* dy, int64_t lddy, Real<T>* dweight,
                            Real<T>* dbias);

/// sums[c] += sum over rows of a[r, c]; rows in chunks of fixed size, chunks added in order.
template <class T, class Queue>
void column_sums(Queue& queue, int64_t rows, int64_t width, const T* a, int64_t lda, Real<T>* sums);

}  // namespace mome
