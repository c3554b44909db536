#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/dropout/dropout.cuh"
#include "kernels/dropout/dropout.h"

namespace mome {

template <class T, class Queue>
void dropout(Queue& queue, int64_t rows, int64_t width, const int64_t* row, const T* x, double p,
             uint64_t seed, uint64_t step, uint64_t stream, T* y) {
  using namespace MOME_DEVICE;
  constexpr int64_t N = kPack<T>;
  const bool whole = width % N == 0 && whole_packs(x, y);
  queue.launch("dropout", whole ? dropout_kernel<T, true> : dropout_kernel<T, false>,
               Dim{blocks_of(rows * ((width + N - 1) / N), kDropoutThreads)}, Dim{kDropoutThreads},
               0, rows, width, row, x, drop_below(p), float(1 / (1 - p)), seed, step, stream, y);
}

template <class T, class Queue>
void drop_path_scale(Queue& queue, int64_t rows, const int32_t* sample, double p, uint64_t seed,
                     uint64_t step, uint64_t stream, Real<T>* row_scale) {
  using namespace MOME_DEVICE;
  queue.launch("drop_path_scale", drop_path_scale_kernel<float>, Dim{blocks_of(rows, 128)},
               Dim{128}, 0, rows, sample, drop_below(p), float(1 / (1 - p)), seed, step, stream,
               row_scale);
}

#define MOME_INSTANCE(T)                                                                           \
  template void dropout<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const int64_t*, const T*,        \
                           double, uint64_t, uint64_t, uint64_t, T*);                              \
  template void drop_path_scale<T>(MOME_DEVICE::Queue&, int64_t, const int32_t*, double, uint64_t, \
                                   uint64_t, uint64_t, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
