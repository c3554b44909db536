// Loops over all cores whose results do not depend on how many there are: work is cut into chunks
// whose boundaries depend on the problem alone, and what chunks compute is combined in chunk order.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace mome {

/// Calls f(begin, end) for chunks of at most `grain` items of [0, n), on all threads.
template <class F>
void parallel_chunks(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  const int64_t chunks = (n + grain - 1) / grain;
  if (chunks == 1) {
    f(int64_t{0}, n);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < chunks; ++c) f(c * grain, std::min(n, (c + 1) * grain));
}

/// Number of chunks that parallel_chunks makes (for scratch of one slot a chunk).
inline int64_t chunk_count(int64_t n, int64_t grain) { return (n + grain - 1) / grain; }

}  // namespace mome
