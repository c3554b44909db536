#include "kernels/multinomial/multinomial.cuh"

#include "kernels/arch/queue.cuh"

namespace mome {

template <class R, class Queue>
void draw_negatives(Queue& queue, int64_t n, const R* similarity, int64_t rs, int64_t cs, const R* log_scale, const int64_t* image_id,
                    const int64_t* caption_id, uint64_t seed, uint64_t step, uint64_t stream, int32_t* negative) {
  using namespace MOME_DEVICE;
  constexpr int kRows = 8;
  queue.launch("draw_negatives", draw_negatives_kernel, Dim{unsigned((n + kRows - 1) / kRows)}, Dim{kRows * 32}, 0, int(n), similarity,
               rs, cs, log_scale, image_id, caption_id, seed, step, stream, negative);
}

template void draw_negatives<float>(MOME_DEVICE::Queue&, int64_t, const float*, int64_t, int64_t, const float*, const int64_t*,
                                    const int64_t*, uint64_t, uint64_t, uint64_t, int32_t*);

}  // namespace mome
