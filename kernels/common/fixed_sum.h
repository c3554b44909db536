// Sums whose order depends on the number of terms alone: never on an address (as loops that the
// compiler peels for alignment do) or on the number of threads.
#pragma once
#include <cstdint>

namespace mome {

/// Sum of f(j) for j in [0, n), in S. kWays interleaved partial sums, so that the loop vectorises
/// and the error grows with n / kWays. f may also store what it computes.
template <class S, class F>
inline S fixed_sum(int64_t n, F&& f) {
  constexpr int kWays = 32;
  S part[kWays] = {};
  int64_t j = 0;
  for (; j + kWays <= n; j += kWays) {
#pragma omp simd
    for (int w = 0; w < kWays; ++w) part[w] += f(j + w);
  }
  for (int w = 0; j < n; ++j, ++w) part[w] += f(j);
  for (int half = kWays / 2; half > 0; half /= 2)
    for (int w = 0; w < half; ++w) part[w] += part[w + half];
  return part[0];
}

}  // namespace mome
