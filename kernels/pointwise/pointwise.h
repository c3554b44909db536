// Element by element: the pooler's tanh, sums, and a row added to every row. Operands may alias their result.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// y = tanh(x).
template <class T, class Queue>
void tanh_forward(Queue& queue, int64_t count, const T* x, T* y);
/// dx = dy (1 - y²).
template <class T, class Queue>
void tanh_backward(Queue& queue, int64_t count, const T* y, const T* dy, T* dx);

/// y = x, or y += x if `accumulate`.
template <class T, class Queue>
void add(Queue& queue, int64_t count, const T* x, bool accumulate, T* y);

/// y[r, c] = x[r, c] + row[c]; x, y [R, D].
template <class T, class Queue>
void add_row(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y);

}  // namespace mome
