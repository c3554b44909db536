// Bytes: one read of each operand, one write; a FLOP or two an element (tanh some 20): bound by memory.
#include "kernels/pointwise/pointwise.h"

#include <cmath>

#include "kernels/common/column_reduce.h"

namespace mome {
namespace {
constexpr int64_t kGrain = 1 << 14;
}

template <class T, class Queue>
void tanh_forward(Queue&, int64_t count, const T* x, T* y) {
  parallel_chunks(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = std::tanh(x[i]);
  });
}

template <class T, class Queue>
void tanh_backward(Queue&, int64_t count, const T* y, const T* dy, T* dx) {
  parallel_chunks(count, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * (1 - y[i] * y[i]);
  });
}

template <class T, class Queue>
void add(Queue&, int64_t count, const T* x, bool accumulate, T* y) {
  parallel_chunks(count, kGrain, [=](int64_t begin, int64_t end) {
    if (accumulate) mome::add_row(end - begin, x + begin, y + begin);
    else std::copy(x + begin, x + end, y + begin);
  });
}

template <class T, class Queue>
void add_row(Queue&, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y) {
  parallel_chunks(rows, row_grain(width), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) sum_row(width, x + r * width, row, y + r * width);
  });
}

#define MOME_INSTANCE(T)                                                            \
  template void tanh_forward<T>(Cpu&, int64_t, const T*, T*);                        \
  template void tanh_backward<T>(Cpu&, int64_t, const T*, const T*, T*);             \
  template void add<T>(Cpu&, int64_t, const T*, bool, T*);                           \
  template void add_row<T>(Cpu&, int64_t, int64_t, const T*, const T*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(double)
#undef MOME_INSTANCE

}  // namespace mome
