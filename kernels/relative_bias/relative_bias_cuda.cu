#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/relative_bias/relative_bias.cuh"
#include "kernels/relative_bias/relative_bias.h"

namespace mome {

namespace {
constexpr int kThreads = 128;
}

template <class T, class Queue>
void relative_bias_forward(Queue& queue, const RelativeIndexView& index, const T* table, int64_t ld,
                           int64_t column, int64_t heads, T* bias) {
  using namespace MOME_DEVICE;
  const int64_t positions = index.size * index.size;
  queue.launch("relative_bias_forward", relative_bias_forward_kernel,
               Dim{blocks_of(positions, kThreads)}, {kThreads}, 0, positions, index.index,
               table + column, ld, heads, bias);
}

template <class T, class Queue>
void relative_bias_backward(Queue& queue, const RelativeIndexView& index, const T* dbias,
                            int64_t heads, T* dtable, int64_t ld, int64_t column) {
  using namespace MOME_DEVICE;
  queue.launch("relative_bias_backward", relative_bias_backward_kernel,
               Dim{blocks_of(index.table_rows * heads, kThreads / 32)}, {kThreads}, 0,
               index.table_rows, index.size * index.size, index.begin, index.inverse, dbias, heads,
               dtable + column, ld);
}

template void relative_bias_forward<float>(MOME_DEVICE::Queue&, const RelativeIndexView&,
                                           const float*, int64_t, int64_t, int64_t, float*);
template void relative_bias_backward<float>(MOME_DEVICE::Queue&, const RelativeIndexView&,
                                            const float*, int64_t, float*, int64_t, int64_t);

}  // namespace mome
