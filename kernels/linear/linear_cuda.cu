#include <type_traits>

#include "kernels/arch/queue.cuh"
#include "kernels/common/gemm.h"
#include "kernels/common/scaled_copy.h"
#include "kernels/linear/linear.cuh"
#include "kernels/linear/linear.h"

namespace mome {

template <class T, class Queue>
void linear_forward(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x, int64_t ldx,
                    const T* weight, const Real<T>* bias, T* y, int64_t ldy) {
  if (rows == 0 || out == 0) return;
  if (!bias)
    return gemm<T, T>(queue, Trans::kNo, Trans::kYes, rows, out, in, 1, x, ldx, weight, in, 0, y,
                      ldy);
  const T* operand = nullptr;
  if constexpr (std::is_same_v<T, float>) operand = bias;
  if (!operand ||
      uintptr_t(operand) % 16) {  // rounded to T; or aligned, as the library's epilogue wants it
    T* copy = static_cast<T*>(queue.workspace(size_t(out) * sizeof(T)));
    scaled_copy(queue, 1, out, 1, bias, out, copy, out);
    operand = copy;
  }
  gemm_bias(queue, Trans::kNo, Trans::kYes, rows, out, in, x, ldx, weight, in, operand, y, ldy);
}

template <class T, class Queue>
void linear_backward_input(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* dy,
                           int64_t lddy, const T* weight, T* dx, int64_t lddx, bool accumulate) {
  if (dx)
    gemm<T, T>(queue, Trans::kNo, Trans::kNo, rows, in, out, 1, dy, lddy, weight, in, accumulate,
               dx, lddx);
}

template <class T, class Queue>
void linear_backward_weight(Queue& queue, int64_t rows, int64_t in, int64_t out, const T* x,
                            int64_t ldx, const T* dy, int64_t lddy, Real<T>* dweight,
                            Real<T>* dbias) {
  if (dweight)
    gemm<T, float>(queue, Trans::kYes, Trans::kNo, out, in, rows, 1, dy, lddy, x, ldx, 1, dweight,
                   in);
  if (dbias) column_sums(queue, rows, out, dy, lddy, dbias);
}

template <class T, class Queue>
void column_sums(Queue& queue, int64_t rows, int64_t width, const T* a, int64_t lda,
                 Real<T>* sums) {
  using namespace MOME_DEVICE;
  if (rows == 0 || width == 0) return;
  constexpr int64_t kLeastRows = 64, kMostChunks = 128;
  const int64_t share = (rows + kMostChunks - 1) / kMostChunks,
                grain = share > kLeastRows ? share : kLeastRows;
  const int64_t chunks = (rows + grain - 1) / grain;
  float* partials = static_cast<float*>(queue.workspace(size_t(chunks * width) * sizeof(float)));
  const auto run = [&]<int N>() {
    constexpr int64_t kColumns = kSumLanes * N;
    queue.launch("column_sums", column_sums_kernel<T, N>,
                 Dim{unsigned((width + kColumns - 1) / kColumns), unsigned(chunks)},
                 Dim{kSumLanes, kSumGroups}, 0, rows, width, grain, a, lda, partials);
  };
  constexpr int kWide = kPack<T>;
  if (width % kWide == 0 && lda % kWide == 0 && uintptr_t(a) % 16 == 0)
    run.template operator()<kWide>();
  else
    run.template operator()<1>();
  queue.launch("column_sums_finish", add_partials_kernel<float>, Dim{unsigned((width + kSumThreads - 1) / kSumThreads)},
               Dim{kSumThreads}, 0, chunks, width, static_cast<const float*>(partials), sums);
}

#define MOME_INSTANCE(T)                                                                           \
  template void linear_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, int64_t, const T*,        \
                                  int64_t, const T*, const float*, T*, int64_t);                   \
  template void linear_backward_input<T>(MOME_DEVICE::Queue&, int64_t, int64_t, int64_t, const T*, \
                                         int64_t, const T*, T*, int64_t, bool);                    \
  template void linear_backward_weight<T>(MOME_DEVICE::Queue&, int64_t, int64_t, int64_t,          \
                                          const T*, int64_t, const T*, int64_t, float*, float*);   \
  template void column_sums<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, int64_t, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
