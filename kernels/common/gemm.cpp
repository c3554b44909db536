#include "kernels/common/gemm.h"

#include <cblas.h>

#include <atomic>

namespace mome {
namespace {
std::atomic<int64_t> g_calls{0}, g_flops{0};

void count(int64_t m, int64_t n, int64_t k) {
  g_calls.fetch_add(1, std::memory_order_relaxed);
  g_flops.fetch_add(2 * m * n * k, std::memory_order_relaxed);
}
CBLAS_TRANSPOSE blas(Trans t) { return t == Trans::kYes ? CblasTrans : CblasNoTrans; }

template <class T>
void scale(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
}
}  // namespace

template <>
void gemm<float>(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                 int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scale(m, n, beta, c, ldc);
  count(m, n, k);
  cblas_sgemm(CblasRowMajor, blas(ta), blas(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <>
void gemm<double>(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, double alpha,
                  const double* a, int64_t lda, const double* b, int64_t ldb, double beta,
                  double* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scale(m, n, beta, c, ldc);
  count(m, n, k);
  cblas_dgemm(CblasRowMajor, blas(ta), blas(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

GemmCount gemm_count() { return {g_calls.load(), g_flops.load()}; }

}  // namespace mome
