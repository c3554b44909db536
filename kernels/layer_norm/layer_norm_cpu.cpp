// Model, per element of sizeof(T) = s bytes: forward reads x and writes y, 2s bytes, 8 FLOPs;
// backward reads x and dy and writes dx, 3s bytes (4s if it accumulates), 16 FLOPs. Bound by memory
// as soon as the rows do not fit the caches; the trick is one visit a row, and parameter gradients
// in the same visit (llm.c walks x and dy a second time for them).
#include "kernels/common/column_reduce.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/layer_norm_row.h"

namespace mome {

template <class T, class Queue>
void layer_norm_forward(Queue&, int64_t rows, int64_t width, const T* x, const Real<T>* weight,
                        const Real<T>* bias, Real<T> eps, T* y, Real<T>* mean, Real<T>* rstd) {
  if (width <= 0) return;
  parallel_chunks(rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* xr = x + r * width;
      layer_norm_row::statistics(width, xr, eps, &mean[r], &rstd[r]);
      layer_norm_row::normalise(width, xr, weight, bias, mean[r], rstd[r], y + r * width);
    }
  });
}

namespace {
template <class T>
void input_gradient(int64_t width, const T* x, const T* weight, T mean, T rstd, const T* dy, T* dx,
                    bool accumulate) {
  const auto m = layer_norm_row::means(width, x, weight, mean, rstd, dy);
  if (accumulate) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c)
      dx[c] += layer_norm_row::gradient(m, x[c], weight[c], mean, rstd, dy[c]);
  } else {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c)
      dx[c] = layer_norm_row::gradient(m, x[c], weight[c], mean, rstd, dy[c]);
  }
}
}  // namespace

template <class T, class Queue>
void layer_norm_backward(Queue&, int64_t rows, int64_t width, const T* x, const Real<T>* weight,
                         const Real<T>* mean, const Real<T>* rstd, const T* dy, T* dx,
                         bool accumulate, Real<T>* dweight, Real<T>* dbias) {
  if (!dweight && !dbias) {
    parallel_chunks(width > 0 ? rows : 0, row_grain(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        input_gradient(width, x + r * width, weight, mean[r], rstd[r], dy + r * width,
                       dx + r * width, accumulate);
    });
    return;
  }
  T* const sums[] = {dweight, dbias};
  reduce_rows(
      rows, reduction_grain(rows), width, 2, sums, [&](int64_t begin, int64_t end, T* partial) {
        for (int64_t r = begin; r < end; ++r) {
          const T *xr = x + r * width, *dyr = dy + r * width;
          // Before dx, which may lie where dy lies.
          layer_norm_row::parameter_gradients(width, xr, mean[r], rstd[r], dyr, partial,
                                              partial + width);
          input_gradient(width, xr, weight, mean[r], rstd[r], dyr, dx + r * width, accumulate);
        }
      });
}

#define MOME_INSTANTIATE(T)                                                                        \
  template void layer_norm_forward<T>(Cpu&, int64_t, int64_t, const T*, const T*, const T*, T, T*, \
                                      T*, T*);                                                     \
  template void layer_norm_backward<T>(Cpu&, int64_t, int64_t, const T*, const T*, const T*,       \
                                       const T*, const T*, T*, bool, T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
