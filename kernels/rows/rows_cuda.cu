#include "kernels/rows/rows.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/rows/rows.h"

namespace mome {

namespace {
constexpr int kThreads = 128;
}  // namespace

template <class T, class Queue>
void gather_rows_forward(Queue& queue, int64_t rows, int64_t width, const T* x, const int32_t* index, T* out) {
  using namespace MOME_DEVICE;
  if (width <= 0) return;
  const auto kernel = packable<kPack<T>>(width, x, out) ? gather_rows_forward_kernel<T, kPack<T>> : gather_rows_forward_kernel<T, 1>;
  queue.launch("gather_rows_forward", kernel, Dim{blocks_of(rows, kThreads / 32)}, {kThreads}, 0, rows, width, x, index, out);
}

template <class T, class Queue>
void gather_rows_backward(Queue& queue, int64_t source_rows, int64_t width, const int32_t* begin, const int32_t* reader,
                          const T* dout, T* dx, bool accumulate) {
  using namespace MOME_DEVICE;
  if (width <= 0) return;
  const auto kernel = packable<kPack<T>>(width, dout, dx) ? gather_rows_backward_kernel<T, kPack<T>> : gather_rows_backward_kernel<T, 1>;
  queue.launch("gather_rows_backward", kernel, Dim{blocks_of(source_rows, kThreads / 32)}, {kThreads}, 0, source_rows, width, begin,
               reader, dout, dx, accumulate);
}

template <class T, class Queue>
void segment_mean_forward(Queue& queue, int64_t segments, int64_t width, const int32_t* begin, const int32_t* count, const T* x,
                          T* out) {
  using namespace MOME_DEVICE;
  const bool packs = packable<kPack<T>>(width, x, out);
  const auto kernel = packs ? segment_mean_forward_kernel<T, kPack<T>> : segment_mean_forward_kernel<T, 1>;
  queue.launch("segment_mean_forward", kernel, Dim{unsigned(segments), blocks_of(width, packs ? 32 * kPack<T> : 32)},
               {32 * kMeanWarps}, 0, width, begin, count, x, out);
}

template <class T, class Queue>
void segment_mean_backward(Queue& queue, int64_t segments, int64_t width, const int32_t* begin, const int32_t* count,
                           const T* dout, T* dx) {
  using namespace MOME_DEVICE;
  const bool packs = packable<kPack<T>>(width, dout, dx);
  const auto kernel = packs ? segment_mean_backward_kernel<T, kPack<T>> : segment_mean_backward_kernel<T, 1>;
  queue.launch("segment_mean_backward", kernel, Dim{unsigned(segments), blocks_of(width, packs ? 32 * kPack<T> : 32)}, {kThreads}, 0,
               width, begin, count, dout, dx);
}

#define MOME_INSTANCE(T)                                                                                                    \
  template void gather_rows_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*, const int32_t*, T*);                \
  template void gather_rows_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const int32_t*, const int32_t*, const T*, T*, \
                                        bool);                                                                              \
  template void segment_mean_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const int32_t*, const int32_t*, const T*, T*); \
  template void segment_mean_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const int32_t*, const int32_t*, const T*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
