// What gemm_count() tells; for the implementations of gemm.
#pragma once
#include <cstdint>

namespace mome {

/// One more product of these sizes; a product with an empty side is none.
void count_gemm(int64_t m, int64_t n, int64_t k);

}  // namespace mome
