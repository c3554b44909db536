// Model, per element of s bytes: tanh forward and add_row 2 s, tanh backward and add 3 s; 1 to 3
// FLOPs, tanh about 20. Bound by memory.
#include "kernels/common/parallel.h"
#include "kernels/common/simd_math.h"
#include "kernels/pointwise/pointwise.h"

namespace mome {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements of a chunk

// The inner loops take their operands by value: see kernels/common/column_reduce.h.
template <class T>
void tanh_run(int64_t n, const T* x, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = fast_tanh(x[i]);
}
template <class T>
void tanh_gradient_run(int64_t n, const T* y, const T* dy, T* dx) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * (T(1) - y[i] * y[i]);
}
template <class T>
void sum_run(int64_t n, const T* a, const T* b, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

}  // namespace

template <class T, class Queue>
void tanh_forward(Queue&, int64_t count, const T* x, T* y) {
  parallel_chunks(count, kGrain,
                  [&](int64_t begin, int64_t end) { tanh_run(end - begin, x + begin, y + begin); });
}

template <class T, class Queue>
void tanh_backward(Queue&, int64_t count, const T* y, const T* dy, T* dx) {
  parallel_chunks(count, kGrain, [&](int64_t begin, int64_t end) {
    tanh_gradient_run(end - begin, y + begin, dy + begin, dx + begin);
  });
}

template <class T, class Queue>
void add_row(Queue&, int64_t rows, int64_t width, const T* x, const Real<T>* row, T* y) {
  if (width <= 0) return;
  parallel_chunks(rows, kGrain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) sum_run(width, x + r * width, row, y + r * width);
  });
}

template <class T, class Queue>
void add(Queue&, int64_t count, const T* x, T* y) {
  parallel_chunks(count, kGrain, [&](int64_t begin, int64_t end) {
    sum_run(end - begin, x + begin, y + begin, y + begin);
  });
}

#define MOME_INSTANTIATE(T)                                                 \
  template void tanh_forward<T>(Cpu&, int64_t, const T*, T*);               \
  template void tanh_backward<T>(Cpu&, int64_t, const T*, const T*, T*);    \
  template void add_row<T>(Cpu&, int64_t, int64_t, const T*, const T*, T*); \
  template void add<T>(Cpu&, int64_t, const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
