#include "kernels/cross_entropy/cross_entropy.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"

namespace mome {

template <class T, class Queue>
void cross_entropy(Queue& queue, int64_t rows, int64_t vocabulary, T* logits, int64_t ld, const int32_t* label,
                   double grad_scale, const Real<T>* loss_scale, bool keep_logits, CrossEntropyResult* result) {
  using namespace MOME_DEVICE;
  auto* per_row = static_cast<CrossEntropyResult*>(queue.workspace(size_t(rows) * sizeof(CrossEntropyResult)));
  const auto launch = [&](auto kernel, int team, int threads) {
    queue.launch("cross_entropy", kernel, Dim{unsigned((rows * team + threads - 1) / threads)}, Dim{unsigned(threads)}, 0, rows,
                 int(vocabulary), logits, ld, label, float(grad_scale), loss_scale, keep_logits, per_row);
  };
  if (vocabulary <= kRowThreads)
    launch(cross_entropy_kernel<T, 32>, 32, 128);
  else
    launch(cross_entropy_kernel<T, kRowThreads>, kRowThreads, kRowThreads);
  queue.launch("cross_entropy_sum", cross_entropy_sum_kernel, Dim{1}, Dim{256}, 0, rows, per_row, result);
}

template <class T, class Queue>
void squared_error(Queue& queue, int64_t count, T* x, const T* target, double grad_scale, const Real<T>* loss_scale,
                   bool keep, double* sum) {
  using namespace MOME_DEVICE;
  const int64_t chunks = (count + kSquaredErrorChunk - 1) / kSquaredErrorChunk;
  auto* partial = static_cast<double*>(queue.workspace(size_t(chunks) * sizeof(double)));
  const auto launch = [&](auto kernel) {
    queue.launch("squared_error", kernel, Dim{unsigned(chunks)}, Dim{256}, 0, count, x, target, float(2 * grad_scale), loss_scale,
                 keep, partial);
  };
  if (whole_packs(x, target))
    launch(squared_error_kernel<T, kPack<T>>);
  else
    launch(squared_error_kernel<T, 1>);
  queue.launch("squared_error_sum", squared_error_sum_kernel, Dim{1}, Dim{256}, 0, chunks, partial, sum);
}

template <class T, class Queue>
void normalize_patches(Queue& queue, int64_t rows, int64_t width, const T* patches, T* out) {
  using namespace MOME_DEVICE;
  if (width <= 0) return;
  const auto launch = [&](auto kernel) {
    queue.launch("normalize_patches", kernel, Dim{unsigned((rows + 3) / 4)}, Dim{128}, 0, rows, int(width), patches, out);
  };
  if (width % kPack<T> == 0 && whole_packs(patches, out))
    launch(normalize_patches_kernel<T, kPack<T>>);
  else
    launch(normalize_patches_kernel<T, 1>);
}

#define MOME_INSTANCE(T)                                                                                                    \
  template void cross_entropy<T>(MOME_DEVICE::Queue&, int64_t, int64_t, T*, int64_t, const int32_t*, double, const float*,  \
                                 bool, CrossEntropyResult*);                                                                \
  template void squared_error<T>(MOME_DEVICE::Queue&, int64_t, T*, const T*, double, const float*, bool, double*);          \
  template void normalize_patches<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)

}  // namespace mome
