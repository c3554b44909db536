// Dropout (Srivastava et al. 2014) and drop path (Huang et al. 2016), both recomputed from Philox
// in backward instead of storing masks.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// y[i] = x[i] * keep_i / (1 - p), keep_i from draw i of (seed, step, kDropout, stream); y may
/// alias x. Backward is the same call on the gradient. p in [0, 1).
template <class T, class Queue>
void dropout(Queue& queue, int64_t count, const T* x, double p, uint64_t seed, uint64_t step,
             uint64_t stream, T* y);

/// row_scale[r] = 0 or 1/(1-p): one draw per sample (kDropPath), sample[r] names the row's sample.
/// Rows of one sample get the same number.
template <class T, class Queue>
void drop_path_scale(Queue& queue, int64_t rows, const int32_t* sample, double p, uint64_t seed,
                     uint64_t step, uint64_t stream, Real<T>* row_scale);

}  // namespace mome
