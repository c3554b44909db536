#include <algorithm>

#include "kernels/arch/queue.cuh"
#include "kernels/binary_cross_entropy/binary_cross_entropy.cuh"

namespace mome {

template <class T, class Queue>
void binary_cross_entropy(Queue& queue, int64_t rows, int64_t classes, T* logits, int64_t ld,
                          const int32_t* begin, const int32_t* target_class,
                          const float* target_score, double grad_scale, const Real<T>* loss_scale,
                          bool keep_logits, BinaryCrossEntropyResult* result) {
  using namespace MOME_DEVICE;
  auto* per_row = static_cast<BinaryCrossEntropyResult*>(
      queue.workspace(size_t(rows) * sizeof(BinaryCrossEntropyResult)));
  // A thread a pack, the partial ones included, but not more than share a multiprocessor well.
  const unsigned threads =
      unsigned(std::min<int64_t>(512, (classes / kPack<T> + 2 + 31) / 32 * 32));
  queue.launch("binary_cross_entropy", binary_cross_entropy_kernel<T>, Dim{unsigned(rows)},
               Dim{threads}, 0, int(classes), logits, ld, begin, target_class, target_score,
               float(grad_scale), loss_scale, keep_logits, per_row);
  queue.launch("binary_cross_entropy_sum", binary_cross_entropy_sum_kernel, Dim{1}, Dim{256}, 0,
               rows, per_row, result);
}

#define MOME_INSTANCE(T)                                                                      \
  template void binary_cross_entropy<T>(MOME_DEVICE::Queue&, int64_t, int64_t, T*, int64_t,   \
                                        const int32_t*, const int32_t*, const float*, double, \
                                        const float*, bool, BinaryCrossEntropyResult*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)

}  // namespace mome
