// Elementwise operations that no other kernel takes along.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// y = tanh(x); may alias.
template <class T, class Queue>
void tanh_forward(Queue& queue, int64_t count, const T* x, T* y);

/// dx = dy * (1 - y^2); dx may alias dy.
template <class T, class Queue>
void tanh_backward(Queue& queue, int64_t count, const T* y, const T* dy, T* dx);

/// y[r, c] = x[r, c] + row[c]; x, y [R, D] may alias.
template <class T, class Queue>
void add_row(Queue& queue, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y);

/// y += x.
template <class T, class Queue>
void add(Queue& queue, int64_t count, const T* x, T* y);

}  // namespace mome
