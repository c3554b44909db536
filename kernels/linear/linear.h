// y = x W^T + b, and its gradients; the products go to BLAS.
// x [R, K] with row stride ldx, W [N, K] (PyTorch's layout), b [N] or null, y [R, N] with stride ldy.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

template <class T, class Queue>
void linear_forward(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx, const T* weight,
                    const T* bias, T* y, int64_t ldy);

/// dx = dy W, assigned or, if `accumulate`, added. dx null: not wanted.
template <class T, class Queue>
void linear_backward_input(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* dy, int64_t lddy,
                           const T* weight, T* dx, int64_t lddx, bool accumulate);

/// dW += dy^T x, db += column sums of dy (db null: not wanted; dW null: frozen, no product is run).
template <class T, class Queue>
void linear_backward_weight(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx,
                            const T* dy, int64_t lddy, T* dweight, T* dbias);

/// sums[c] += sum over rows of a[r, c]; rows in chunks of fixed size, chunks added in order.
template <class T, class Queue>
void column_sums(Queue& queue, int64_t rows, int64_t width, const T* a, int64_t lda, T* sums);

}  // namespace mome
