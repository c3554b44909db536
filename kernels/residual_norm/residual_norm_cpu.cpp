// Model, per element of s bytes: forward reads x and h and writes y and n, 4s bytes (apart they
// cost 5s: y is written and read again), 11 FLOPs; backward reads h, y, dy, dn and writes dx, dh,
// 6s bytes (apart: 9s), 22 FLOPs. Bound by memory. A row stays in the first level cache between its
// sweeps.
#include "kernels/common/column_reduce.h"
#include "kernels/layer_norm/layer_norm_row.h"
#include "kernels/residual_norm/residual_norm.h"

namespace mome {
namespace {

/// y = x + scale * gamma * h. A dropped row (scale 0) does not read h.
template <class T>
void add_branch(int64_t width, T scale, const T* gamma, const T* x, const T* h, T* y) {
  if (scale == T(0)) {
    if (y != x) std::copy(x, x + width, y);
  } else if (gamma) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) y[c] = x[c] + scale * gamma[c] * h[c];
  } else {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) y[c] = x[c] + scale * h[c];
  }
}

/// dx = dy + LayerNormBackward(dn); either may be absent.
template <class T>
void stream_gradient(int64_t width, const T* weight, const T* y, T mean, T rstd, const T* dy,
                     const T* dn, T* dx) {
  if (!dn) {
    if (!dy) std::fill(dx, dx + width, T(0));
    if (dy && dy != dx) std::copy(dy, dy + width, dx);
    return;
  }
  const auto m = layer_norm_row::means(width, y, weight, mean, rstd, dn);
  if (dy) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c)
      dx[c] = dy[c] + layer_norm_row::gradient(m, y[c], weight[c], mean, rstd, dn[c]);
  } else {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c)
      dx[c] = layer_norm_row::gradient(m, y[c], weight[c], mean, rstd, dn[c]);
  }
}

/// dh = g * scale * gamma.
template <class T>
void branch_gradient(int64_t width, T scale, const T* gamma, const T* g, T* dh) {
  if (scale == T(0)) {
    std::fill(dh, dh + width, T(0));
  } else if (gamma) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) dh[c] = g[c] * (scale * gamma[c]);
  } else {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) dh[c] = g[c] * scale;
  }
}

/// dgamma += g * scale * h.
template <class T>
void gamma_gradient(int64_t width, T scale, const T* h, const T* g, T* dgamma) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) dgamma[c] += g[c] * (scale * h[c]);
}

}  // namespace

template <class T, class Queue>
void residual_norm_forward(Queue&, const ResidualNorm<T>& a, const T* x, const T* h, T* y, T* n,
                           Real<T>* mean, Real<T>* rstd) {
  const int64_t width = a.width;
  if (width <= 0) return;
  parallel_chunks(a.rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* yr = y + r * width;
      add_branch(width, a.row_scale ? a.row_scale[r] : T(1), a.gamma, x + r * width, h + r * width,
                 yr);
      if (!a.weight) continue;
      layer_norm_row::statistics(width, yr, a.eps, &mean[r], &rstd[r]);
      layer_norm_row::normalise(width, yr, a.weight, a.bias, mean[r], rstd[r], n + r * width);
    }
  });
}

template <class T, class Queue>
void residual_norm_backward(Queue&, const ResidualNorm<T>& a, const T* h, const T* y,
                            const Real<T>* mean, const Real<T>* rstd, const T* dy, const T* dn,
                            T* dx, T* dh, Real<T>* dgamma, Real<T>* dweight, Real<T>* dbias) {
  const int64_t width = a.width;
  if (width <= 0) return;
  const bool norm = a.weight && dn;
  const bool norm_parameters = norm && (dweight || dbias);
  const auto one_row = [&](int64_t r, T* pgamma, T* pweight, T* pbias) {
    const int64_t at = r * width;
    const T scale = a.row_scale ? a.row_scale[r] : T(1);
    if (norm_parameters)
      layer_norm_row::parameter_gradients(width, y + at, mean[r], rstd[r], dn + at, pweight, pbias);
    T* g = dx + at;
    stream_gradient(width, a.weight, norm ? y + at : nullptr, norm ? mean[r] : T(0),
                    norm ? rstd[r] : T(0), dy ? dy + at : nullptr, norm ? dn + at : nullptr, g);
    if (dh) branch_gradient(width, scale, a.gamma, g, dh + at);
    if (dgamma && scale != T(0)) gamma_gradient(width, scale, h + at, g, pgamma);
  };
  if (!dgamma && !norm_parameters) {
    parallel_chunks(a.rows, row_grain(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) one_row(r, nullptr, nullptr, nullptr);
    });
    return;
  }
  T* const sums[] = {dgamma, norm_parameters ? dweight : nullptr,
                     norm_parameters ? dbias : nullptr};
  reduce_rows(a.rows, reduction_grain(a.rows), width, 3, sums,
              [&](int64_t begin, int64_t end, T* partial) {
                for (int64_t r = begin; r < end; ++r)
                  one_row(r, partial, partial + width, partial + 2 * width);
              });
}

#define MOME_INSTANTIATE(T)                                                                        \
  template void residual_norm_forward<T>(Cpu&, const ResidualNorm<T>&, const T*, const T*, T*, T*, \
                                         T*, T*);                                                  \
  template void residual_norm_backward<T>(Cpu&, const ResidualNorm<T>&, const T*, const T*,        \
                                          const T*, const T*, const T*, const T*, T*, T*, T*, T*,  \
                                          T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
