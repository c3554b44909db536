// LayerNorm of one row, shared by layer_norm and residual_norm. A row (a few KiB) stays in the
// first level cache between the sweeps, so that memory sees each operand once.
#pragma once
#include <cmath>
#include <cstdint>

namespace mome::layer_norm_row {

/// Mean and 1/sqrt(var + eps). The variance is taken about the mean (no E[x^2] - E[x]^2, which
/// cancels).
template <class T>
inline void statistics(int64_t width, const T* x, T eps, T* mean, T* rstd) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < width; ++c) sum += x[c];
  const T mu = sum / T(width);
  T square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t c = 0; c < width; ++c) square += (x[c] - mu) * (x[c] - mu);
  *mean = mu;
  *rstd = T(1) / std::sqrt(square / T(width) + eps);
}

template <class T>
inline void normalise(int64_t width, const T* x, const T* weight, const T* bias, T mean, T rstd,
                      T* y) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) y[c] = (x[c] - mean) * rstd * weight[c] + bias[c];
}

/// The two means that the gradient of a row needs, of dy * w and of dy * w * xhat.
template <class T>
struct Means {
  T plain, xhat;
};

template <class T>
inline Means<T> means(int64_t width, const T* x, const T* weight, T mean, T rstd, const T* dy) {
  T plain = 0, xhat = 0;
#pragma omp simd reduction(+ : plain, xhat)
  for (int64_t c = 0; c < width; ++c) {
    const T g = dy[c] * weight[c];
    plain += g;
    xhat += g * (x[c] - mean);
  }
  return {plain / T(width), xhat * rstd / T(width)};
}

/// d(row)/dx at element c.
template <class T>
inline T gradient(const Means<T>& m, T x, T weight, T mean, T rstd, T dy) {
  return rstd * (dy * weight - m.plain - (x - mean) * rstd * m.xhat);
}

/// dweight += dy * xhat, dbias += dy.
template <class T>
inline void parameter_gradients(int64_t width, const T* x, T mean, T rstd, const T* dy, T* dweight,
                                T* dbias) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) {
    dweight[c] += dy[c] * ((x[c] - mean) * rstd);
    dbias[c] += dy[c];
  }
}

}  // namespace mome::layer_norm_row
