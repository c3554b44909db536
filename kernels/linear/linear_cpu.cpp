// Model: 2 R K N FLOPs a product, one product forward and two backward; bytes (R K + K N + R N) s
// each. Bound by the BLAS, so nothing here may add a pass over y: BLAS with beta = 0 clears y
// before it accumulates, hence filling y with the bias and beta = 1 gives the bias for nothing.
#include "kernels/common/column_reduce.h"
#include "kernels/common/gemm.h"
#include "kernels/linear/linear.h"

namespace mome {

template <class T, class Queue>
void linear_forward(Queue&, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx, const T* weight,
                    const Real<T>* bias, T* y, int64_t ldy) {
  if (bias)
    parallel_chunks(rows, row_grain(out), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) std::copy(bias, bias + out, y + r * ldy);
    });
  gemm(cpu, Trans::kNo, Trans::kYes, rows, out, in, T(1), x, ldx, weight, in, bias ? T(1) : T(0), y,
       ldy);
}

template <class T, class Queue>
void linear_backward_input(Queue&, int64_t rows, int64_t in, int64_t out, const T* dy, int64_t lddy,
                           const T* weight, T* dx, int64_t lddx, bool accumulate) {
  if (!dx) return;
  gemm(cpu, Trans::kNo, Trans::kNo, rows, in, out, T(1), dy, lddy, weight, in, T(accumulate), dx, lddx);
}

template <class T, class Queue>
void linear_backward_weight(Queue&, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx,
                            const T* dy, int64_t lddy, Real<T>* dweight, Real<T>* dbias) {
  if (dweight)
    gemm(cpu, Trans::kYes, Trans::kNo, out, in, rows, T(1), dy, lddy, x, ldx, T(1), dweight, in);
  if (dbias) column_sums(cpu, rows, out, dy, lddy, dbias);
}

template <class T, class Queue>
void column_sums(Queue&, int64_t rows, int64_t width, const T* a, int64_t lda, Real<T>* sums) {
  T* const targets[] = {sums};
  reduce_rows(rows, reduction_grain(rows), width, 1, targets,
              [&](int64_t begin, int64_t end, T* partial) {
                for (int64_t r = begin; r < end; ++r) add_row(width, a + r * lda, partial);
              });
}

#define MOME_INSTANTIATE(T)                                                                       \
  template void linear_forward<T>(Cpu&, int64_t, int64_t, int64_t, const T*, int64_t, const T*,         \
                                  const T*, T*, int64_t);                                         \
  template void linear_backward_input<T>(Cpu&, int64_t, int64_t, int64_t, const T*, int64_t, const T*,  \
                                         T*, int64_t, bool);                                      \
  template void linear_backward_weight<T>(Cpu&, int64_t, int64_t, int64_t, const T*, int64_t, const T*, \
                                          int64_t, T*, T*);                                       \
  template void column_sums<T>(Cpu&, int64_t, int64_t, const T*, int64_t, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
