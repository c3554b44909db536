// Matrix products: the BLAS of the machine, wrapped once so that float and double read alike and so
// that a test can count what a training stage really multiplies.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

enum class Trans : uint8_t { kNo, kYes };

/// C[m,n] = alpha * op(A)[m,k] * op(B)[k,n] + beta * C, row-major; lda, ldb, ldc are row strides in
/// elements of the matrices as stored. m, n or k may be 0 (k = 0 scales C by beta). beta = 0 never
/// reads C. Sums in Real<T>, rounded once to C, which is T or Real<T> (gradients of weights). On
/// the CPU the same call gives the same bits under any number of threads. GPU queues: T = float (no
/// TF32), half, bf16, and C as said; kernels/common/gemm_simt.cpp, kernels/cuda/gemm.cpp.
template <class T, class C, class Queue>
void gemm(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, Real<T> alpha,
          const T* a, int64_t lda, const T* b, int64_t ldb, Real<T> beta, C* c, int64_t ldc);

/// C = op(A) op(B) + bias, a row [n] for all rows of C: added to the sums before they are rounded.
/// GPU queues only.
template <class T, class Queue>
void gemm_bias(Queue& queue, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a,
               int64_t lda, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc);

template <>
void gemm<float, float, Cpu>(Cpu&, Trans, Trans, int64_t, int64_t, int64_t, float, const float*,
                             int64_t, const float*, int64_t, float, float*, int64_t);
template <>
void gemm<double, double, Cpu>(Cpu&, Trans, Trans, int64_t, int64_t, int64_t, double, const double*,
                               int64_t, const double*, int64_t, double, double*, int64_t);

/// Products since the start of the process, of all devices: how many, and 2*m*n*k summed.
/// Thread-safe.
struct GemmCount {
  int64_t calls = 0;
  int64_t flops = 0;
};
GemmCount gemm_count();

}  // namespace mome
