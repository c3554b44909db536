// Dropout (Srivastava et al. 2014) and drop path (Huang et al. 2016), both recomputed from Philox
// in backward instead of storing masks.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// x, y [R, D]: y[r, c] = x[r, c] * keep / (1 - p), keep from draw row[r] * D' + c of (seed, step,
/// kDropout, stream), D' = D rounded up to a multiple of 4; row null: r. A row's draws are its own
/// wherever it lies: what a token loses does not depend on what it is packed with. y may alias x.
/// Backward is the same call on the gradient. p in [0, 1); row[r] * D' < 2^32.
template <class T, class Queue>
void dropout(Queue& queue, int64_t rows, int64_t width, const int64_t* row, const T* x, double p,
             uint64_t seed, uint64_t step, uint64_t stream, T* y);

/// row_scale[r] = 0 or 1/(1-p): one draw per sample (kDropPath), sample[r] names the row's sample.
/// Rows of one sample get the same number.
template <class T, class Queue>
void drop_path_scale(Queue& queue, int64_t rows, const int32_t* sample, double p, uint64_t seed,
                     uint64_t step, uint64_t stream, Real<T>* row_scale);

}  // namespace mome
