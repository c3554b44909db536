#include "kernels/contrastive/contrastive.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"

namespace mome {

template <class T, class Queue>
void l2_normalize_forward(Queue& queue, int64_t rows, int64_t width, const T* x, T* y, Real<T>* inverse_norm) {
  using namespace MOME_DEVICE;
  const auto launch = [&](auto kernel) {
    queue.launch("l2_normalize_forward", kernel, Dim{unsigned((rows + 3) / 4)}, Dim{128}, 0, rows, int(width), x, y, inverse_norm);
  };
  if (width % kPack<T> == 0 && whole_packs(x, y))
    launch(l2_normalize_forward_kernel<T, kPack<T>>);
  else
    launch(l2_normalize_forward_kernel<T, 1>);
}

template <class T, class Queue>
void l2_normalize_backward(Queue& queue, int64_t rows, int64_t width, const T* y, const Real<T>* inverse_norm, const T* dy, T* dx) {
  using namespace MOME_DEVICE;
  const auto launch = [&](auto kernel) {
    queue.launch("l2_normalize_backward", kernel, Dim{unsigned((rows + 3) / 4)}, Dim{128}, 0, rows, int(width), y, inverse_norm, dy, dx);
  };
  if (width % kPack<T> == 0 && whole_packs(y, dy, dx))
    launch(l2_normalize_backward_kernel<T, kPack<T>>);
  else
    launch(l2_normalize_backward_kernel<T, 1>);
}

template <class R, class Queue>
void contrastive_loss(Queue& queue, int64_t n, R* similarity, const R* log_scale, const int64_t* image_id, const int64_t* caption_id,
                      double grad_scale, const R* loss_scale, R* dlog_scale, ContrastiveResult* result) {
  using namespace MOME_DEVICE;
  constexpr int kThreads = 128;
  auto* doubles = static_cast<double*>(queue.workspace(size_t(n) * (3 * sizeof(double) + 4 * sizeof(float) + 2 * sizeof(int))));
  auto* floats = reinterpret_cast<float*>(doubles + 3 * n);
  auto* ints = reinterpret_cast<int*>(floats + 4 * n);
  const ContrastiveSide rows{floats, floats + n, doubles, ints}, columns{floats + 2 * n, floats + 3 * n, doubles + n, ints + n};
  double* slope = doubles + 2 * n;
  const PairIds ids{image_id, caption_id};
  const float factor = n > 0 ? float(grad_scale / (2.0 * double(n))) : 0.0f;
  queue.launch("contrastive_row", contrastive_row_kernel, Dim{unsigned(n)}, Dim{kThreads}, 0, int(n), similarity, log_scale, ids, rows);
  queue.launch("contrastive_column", contrastive_column_kernel, Dim{unsigned((n + 31) / 32)}, Dim{kColumnRuns * 32}, 0, int(n), similarity,
               log_scale, ids, columns);
  queue.launch("contrastive_gradient", contrastive_gradient_kernel, Dim{unsigned(n)}, Dim{kThreads}, 0, int(n), similarity, log_scale, ids,
               rows, columns, factor, loss_scale, slope);
  queue.launch("contrastive_sum", contrastive_sum_kernel, Dim{1}, Dim{kThreads}, 0, int(n), rows, columns, slope, log_scale, dlog_scale,
               result);
}

#define MOME_INSTANCE(T)                                                                                           \
  template void l2_normalize_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, T*, float*);              \
  template void l2_normalize_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const float*, const T*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
template void contrastive_loss<float>(MOME_DEVICE::Queue&, int64_t, float*, const float*, const int64_t*, const int64_t*, double,
                                      const float*, float*, ContrastiveResult*);

}  // namespace mome
