// to[r, c] = To(factor * from[r, c]) for float and the 16-bit types: rounding to a storage type,
// scaling in place (to = from), and, with ld_from = 0, one row for all. rows [R, W], row strides in
// elements. Instances: (float, float), on GPUs (half, half), (bf16, bf16), (float, half), (float,
// bf16), on the CPU (double, double). The factor is rounded to Real<From> first.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

template <class From, class To, class Queue>
void scaled_copy(Queue& queue, int64_t rows, int64_t width, double factor, const From* from,
                 int64_t ld_from, To* to, int64_t ld_to);

}  // namespace mome
