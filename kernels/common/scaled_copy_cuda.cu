#include "kernels/arch/device.cuh"
#include "kernels/arch/queue.cuh"
#include "kernels/common/scaled_copy.h"

namespace mome {
namespace MOME_DEVICE {

// Reads R W sizeof(From), writes R W sizeof(To); 1 FLOP an element: bound by memory traffic. A
// thread an element: only vectors and small matrices (biases, the similarity's gradient) come here.
template <class From, class To>
__global__ void scaled_copy_kernel(int64_t rows, int64_t width, float factor, const From* from,
                                   int64_t ld_from, To* to, int64_t ld_to) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows * width) return;
  const int64_t r = i / width, c = i % width;
  store(to + r * ld_to + c, from_float<To>(factor * to_float(load(from + r * ld_from + c))));
}

}  // namespace MOME_DEVICE

template <class From, class To, class Queue>
void scaled_copy(Queue& queue, int64_t rows, int64_t width, double factor, const From* from,
                 int64_t ld_from, To* to, int64_t ld_to) {
  using namespace MOME_DEVICE;
  constexpr int kThreads = 256;
  const Dim grid{unsigned((rows * width + kThreads - 1) / kThreads)};
  queue.launch("scaled_copy", scaled_copy_kernel<From, To>, grid, Dim{kThreads}, 0, rows, width,
               float(factor), from, ld_from, to, ld_to);
}

#define MOME_INSTANCE(From, To)                                                                  \
  template void scaled_copy<From, To>(MOME_DEVICE::Queue&, int64_t, int64_t, double, const From*, \
                                      int64_t, To*, int64_t);
MOME_INSTANCE(float, float)
MOME_INSTANCE(half, half)
MOME_INSTANCE(bf16, bf16)
MOME_INSTANCE(float, half)
MOME_INSTANCE(float, bf16)
#undef MOME_INSTANCE

}  // namespace mome
