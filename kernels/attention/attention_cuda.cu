#include "kernels/attention/attention.cuh"

#include "kernels/attention/attention_launch.cuh"

namespace mome {

template <class T, class Queue>
void attention_forward(Queue& queue, const AttentionArgs<T>& a, T* out, int64_t ldo, Real<T>* lse) {
  using namespace MOME_DEVICE;
  const bool packed = attention_packed(a, a.q, a.ldq);
  on_tile<T>(queue, a, [&]<class Tile, int kD>() {
    using Shape = AttentionShape<T, kD>;
    const int stages = sizeof(T) == 2 && queue.compute_capability() >= 80 ? 2 : 1;
    queue.launch("attention_forward", attention_forward_kernel<Tile, kD, T>,
                 Dim{unsigned(a.sequences), unsigned(a.heads), unsigned((a.max_q + Shape::kOwn - 1) / Shape::kOwn)}, Dim{Shape::kThreads},
                 attention_shared_bytes<T, kD>(Shape::kOwn + 2 * stages * Shape::kLoopForward, 0), a, packed, out, ldo, lse);
  });
}

#define MOME_INSTANCE(T) template void attention_forward<T>(MOME_DEVICE::Queue&, const AttentionArgs<T>&, T*, int64_t, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
