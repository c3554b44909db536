#include "kernels/common/gemm.h"

#include <cblas.h>

#include <algorithm>
#include <atomic>

#include "kernels/common/gemm_count.h"
#include "kernels/common/parallel.h"

namespace mome {
namespace {
std::atomic<int64_t> g_calls{0}, g_flops{0};

CBLAS_TRANSPOSE blas(Trans t) { return t == Trans::kYes ? CblasTrans : CblasNoTrans; }

template <class T>
void scale(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
}
}  // namespace

void count_gemm(int64_t m, int64_t n, int64_t k) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  g_calls.fetch_add(1, std::memory_order_relaxed);
  g_flops.fetch_add(2 * m * n * k, std::memory_order_relaxed);
}

// OpenBLAS promises no bits: its one-thread and its many-thread driver cut a long sum differently,
// and its double kernels round differently at the edges of a thread's share. So we make the cuts.
//
// Float: sums of at most 320 products a call (the shortest block that OpenBLAS itself keeps whole),
// the partial results added in C, which is what it does inside. Costs 1 % of a product's time.
template <>
void gemm<float, float, Cpu>(Cpu&, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                 int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scale(m, n, beta, c, ldc);
  count_gemm(m, n, k);
  constexpr int64_t kSum = 320;
  for (int64_t s = 0; s < k; s += kSum)
    cblas_sgemm(CblasRowMajor, blas(ta), blas(tb), m, n, std::min(kSum, k - s), alpha,
                ta == Trans::kYes ? a + s * lda : a + s, lda,
                tb == Trans::kYes ? b + s : b + s * ldb, ldb, s == 0 ? beta : 1.0f, c, ldc);
}

// Double, the precision of tests: fixed slices of the longer side of C, one thread each (inside our
// parallel region OpenBLAS starts none; a single slice would escape it, hence two at least).
template <>
void gemm<double, double, Cpu>(Cpu&, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, double alpha,
                  const double* a, int64_t lda, const double* b, int64_t ldb, double beta,
                  double* c, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return scale(m, n, beta, c, ldc);
  count_gemm(m, n, k);
  const bool by_rows = m >= n;
  const int64_t side = by_rows ? m : n, grain = std::min<int64_t>(64, (side + 1) / 2);
  parallel_chunks(side, grain, [&](int64_t i, int64_t end) {
    const int64_t rows = by_rows ? end - i : m, columns = by_rows ? n : end - i;
    const double* from_a = !by_rows ? a : ta == Trans::kYes ? a + i : a + i * lda;
    const double* from_b = by_rows ? b : tb == Trans::kYes ? b + i * ldb : b + i;
    cblas_dgemm(CblasRowMajor, blas(ta), blas(tb), rows, columns, k, alpha, from_a, lda, from_b,
                ldb, beta, by_rows ? c + i * ldc : c + i, ldc);
  });
}

GemmCount gemm_count() { return {g_calls.load(), g_flops.load()}; }

}  // namespace mome
