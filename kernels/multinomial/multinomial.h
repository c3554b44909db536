// Hard negatives for image-text matching (ALBEF, Li et al. 2021, §3.2): one column per row, drawn from
// softmax(scale * similarity) without the true pair and without other true pairs of the same row.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// similarity [N, N], float or double on every device, with row stride rs and column stride cs (so that its transpose needs no copy).
/// For each row i draws j with probability softmax_j(scale * s[i,j]), scale = exp(*log_scale) or, with log_scale null, 0:
/// all candidates alike; j != i and not another true pair
/// (equal image_id or caption_id; null: none). negative[i] = j, or -1 if no candidate is left. Safe when the
/// positive holds all the mass (log-domain). One Philox draw per row, index = stream * 2^32 + row: devices
/// draw the same but where a draw falls within rounding of the border of two candidates.
template <class R, class Queue>
void draw_negatives(Queue& queue, int64_t n, const R* similarity, int64_t rs, int64_t cs, const R* log_scale,
                    const int64_t* image_id, const int64_t* caption_id, uint64_t seed,
                    uint64_t step, uint64_t stream, int32_t* negative);

}  // namespace mome
