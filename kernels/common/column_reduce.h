// Sums over rows in two stages of fixed order: chunks of rows fill partial sums of their own, then
// the partials are added chunk after chunk. Chunks depend on the number of rows alone, so the
// result does not depend on the number of threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/common/parallel.h"

namespace mome {

/// Rows a chunk of a reduction: at most 64 chunks (the second stage reads one row a chunk, so it
/// stays a few per cent of the first) of at least 16 rows.
inline int64_t reduction_grain(int64_t rows) { return std::max<int64_t>(16, (rows + 63) / 64); }

// Inner loops stand in functions that take their operands by value: in a lambda that captures by
// reference every store might change a captured pointer, and the loop does not vectorise.

/// to += from.
template <class T>
inline void add_row(int64_t width, const T* from, T* to) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) to[c] += from[c];
}

/// to = a + b.
template <class T>
inline void sum_row(int64_t width, const T* a, const T* b, T* to) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) to[c] = a[c] + b[c];
}

/// to = a + b + d.
template <class T>
inline void sum_row(int64_t width, const T* a, const T* b, const T* d, T* to) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) to[c] = a[c] + b[c] + d[c];
}

/// to += factor * from.
template <class T>
inline void add_scaled_row(int64_t width, T factor, const T* from, T* to) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) to[c] += factor * from[c];
}

/// Calls f(begin, end, partial) for chunks of `grain` rows of [0, rows), partial [vectors, width]
/// zeroed. Then sums[v][c] += partial[v][c] of every chunk in order, for each v with sums[v] not
/// null.
template <class T, class F>
void reduce_rows(int64_t rows, int64_t grain, int64_t width, int64_t vectors, T* const* sums,
                 F&& f) {
  if (rows <= 0 || width <= 0) return;
  const int64_t chunks = chunk_count(rows, grain), slot = vectors * width;
  // The caller's own scratch: it grows to the largest problem once, and is nobody else's meanwhile.
  static thread_local std::vector<T> scratch;
  if (int64_t(scratch.size()) < chunks * slot) scratch.resize(chunks * slot);
  T* const partials = scratch.data();
  parallel_chunks(rows, grain, [&](int64_t begin, int64_t end) {
    T* partial = partials + begin / grain * slot;
    std::fill(partial, partial + slot, T(0));
    f(begin, end, partial);
  });
  for (int64_t v = 0; v < vectors; ++v) {
    if (!sums[v]) continue;
    parallel_chunks(width, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t k = 0; k < chunks; ++k)
        add_row(end - begin, partials + k * slot + v * width + begin, sums[v] + begin);
    });
  }
}

/// Rows a chunk of a loop without reduction: about 16 thousand elements.
inline int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
}

}  // namespace mome
