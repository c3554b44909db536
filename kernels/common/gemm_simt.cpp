// Products of the simt device: the CPU's BLAS on operands widened to float, in the order of the
// queue. As a GPU's library does it: sums in float (fp32 operands: no TF32), beta C added in float,
// one rounding to C.
#include <functional>
#include <string>
#include <vector>

#include "kernels/common/gemm.h"
#include "kernels/simt/fault.h"
#include "kernels/simt/queue.h"

namespace mome {
namespace {

/// Elements from the first to behind the last of a row-major matrix.
int64_t span(int64_t rows, int64_t columns, int64_t stride) {
  return rows <= 0 || columns <= 0 ? 0 : (rows - 1) * stride + columns;
}

template <class T>
void check(const T* p, int64_t rows, int64_t columns, int64_t stride, const char* operand) {
  const int64_t elements = span(rows, columns, stride);
  if (elements == 0) return;
  if (rows > 1 && stride < columns)
    throw simt::Fault(std::string("simt: gemm: ") + operand + " has rows of " +
                      std::to_string(columns) + " elements every " + std::to_string(stride));
  if (!simt::is_device_memory(p, size_t(elements) * sizeof(T)))
    throw simt::Fault(std::string("simt: gemm: ") + operand + ", " + std::to_string(rows) + " x " +
                      std::to_string(columns) + ", is not wholly inside a device block");
}

/// The matrix as packed rows of floats.
template <class T>
std::vector<float> widened(const T* p, int64_t rows, int64_t columns, int64_t stride) {
  std::vector<float> out(size_t(rows * columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      out[size_t(r * columns + c)] = to_float(p[r * stride + c]);
  return out;
}

/// What a product does when the queue comes to it. bias: null, or a row that beta = 0 leaves to be
/// added.
template <class T, class C>
void product(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, float alpha, const T* a,
             int64_t lda, const T* b, int64_t ldb, float beta, const T* bias, C* c, int64_t ldc) {
  const int64_t a_rows = ta == Trans::kYes ? k : m, a_columns = ta == Trans::kYes ? m : k;
  const int64_t b_rows = tb == Trans::kYes ? n : k, b_columns = tb == Trans::kYes ? k : n;
  check(c, m, n, ldc, "C");
  check(a, a_rows, a_columns, lda, "A");
  check(b, b_rows, b_columns, ldb, "B");
  std::vector<float> sums(size_t(m * n));
  if (bias) {
    check(bias, 1, n, n, "bias");
    sums = widened(bias, m, n, 0);
    beta = 1;
  } else if (beta != 0) {
    sums = widened(c, m, n, ldc);
  }
  if (k > 0)
    gemm<float, float>(cpu, ta, tb, m, n, k, alpha, widened(a, a_rows, a_columns, lda).data(),
                       a_columns, widened(b, b_rows, b_columns, ldb).data(), b_columns, beta,
                       sums.data(), n);
  else
    for (float& v : sums) v *= beta;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = from_float<C>(sums[size_t(i * n + j)]);
}

}  // namespace

template <class T, class C, class Queue>
void gemm(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, Real<T> alpha,
          const T* a, int64_t lda, const T* b, int64_t ldb, Real<T> beta, C* c, int64_t ldc) {
  if (m > 0 && n > 0)
    queue.push(
        [=] { product<T, C>(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, nullptr, c, ldc); });
}

template <class T, class Queue>
void gemm_bias(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a,
               int64_t lda, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc) {
  if (m > 0 && n > 0)
    queue.push([=] { product<T, T>(ta, tb, m, n, k, 1, a, lda, b, ldb, 0, bias, c, ldc); });
}

#define MOME_INSTANCE(T, C)                                                                        \
  template void gemm<T, C>(simt::Queue&, Trans, Trans, int64_t, int64_t, int64_t, float, const T*, \
                           int64_t, const T*, int64_t, float, C*, int64_t);
MOME_INSTANCE(float, float)
MOME_INSTANCE(half, half)
MOME_INSTANCE(half, float)
MOME_INSTANCE(bf16, bf16)
MOME_INSTANCE(bf16, float)
#undef MOME_INSTANCE

#define MOME_INSTANCE(T)                                                                      \
  template void gemm_bias<T>(simt::Queue&, Trans, Trans, int64_t, int64_t, int64_t, const T*, \
                             int64_t, const T*, int64_t, const T*, T*, int64_t);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
