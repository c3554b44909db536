#include <cmath>

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/dropout/dropout.cuh"
#include "kernels/dropout/dropout.h"

namespace mome {
namespace {

// As on the CPU: uniform01(word) < p, exactly; streams own 2^32 words each.
uint32_t drop_below(double p) { return uint32_t(std::ceil(p * 16777216.0)); }
uint64_t first_call(uint64_t stream) { return stream << 30; }

}  // namespace

template <class T, class Queue>
void dropout(Queue& queue, int64_t count, const T* x, double p, uint64_t seed, uint64_t step, uint64_t stream, T* y) {
  queue.launch("dropout", MOME_DEVICE::dropout_kernel<T>, MOME_DEVICE::Dim{blocks_of(count, 4 * 256)}, MOME_DEVICE::Dim{256}, 0, count, x, drop_below(p),
               float(1 / (1 - p)), seed, step, first_call(stream), y);
}

template <class T, class Queue>
void drop_path_scale(Queue& queue, int64_t rows, const int32_t* sample, double p, uint64_t seed, uint64_t step, uint64_t stream, Real<T>* row_scale) {
  queue.launch("drop_path_scale", MOME_DEVICE::drop_path_scale_kernel, MOME_DEVICE::Dim{blocks_of(rows, 256)}, MOME_DEVICE::Dim{256}, 0, rows, sample,
               drop_below(p), float(1 / (1 - p)), seed, step, first_call(stream), row_scale);
}

#define MOME_INSTANCE(T)                                                                                                               \
  template void dropout<T>(MOME_DEVICE::Queue&, int64_t, const T*, double, uint64_t, uint64_t, uint64_t, T*);                          \
  template void drop_path_scale<T>(MOME_DEVICE::Queue&, int64_t, const int32_t*, double, uint64_t, uint64_t, uint64_t, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
