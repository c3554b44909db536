// The largest of a row, in a loop that vectorises.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

namespace mome {

/// max_j x[j]; -inf for n = 0. NaN is never the largest.
template <class T>
T maximum(int64_t n, const T* x) {
  T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < n; ++j) largest = std::max(largest, x[j]);
  return largest;
}

}  // namespace mome
