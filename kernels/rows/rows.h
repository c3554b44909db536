// Moving and combining whole rows: gather with its deterministic gradient, and the mean over segments.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/common/queue.h"

namespace mome {

/// out[r] = x[index[r]] for r in [0, rows); x [*, D], out [rows, D].
template <class T, class Queue>
void gather_rows_forward(Queue& queue, int64_t rows, int64_t width, const T* x, const int32_t* index, T* out);

/// The inverse of a gather, on the host: readers of source row s are reader[begin[s]] … reader[begin[s+1]-1],
/// ascending; begin [sources + 1]. Built once per layout.
struct GatherInverse {
  std::vector<int32_t> begin, reader;
};
GatherInverse invert_gather(int64_t source_rows, const std::vector<int32_t>& index);

/// dx[s] = sum of dout over the readers of s in ascending order (0 if there is none); added to dx if
/// `accumulate`. begin and reader are a GatherInverse's. Sums are held in Real<T> and rounded once.
template <class T, class Queue>
void gather_rows_backward(Queue& queue, int64_t source_rows, int64_t width, const int32_t* begin,
                          const int32_t* reader, const T* dout, T* dx, bool accumulate);

/// out[s] = mean of x over rows begin[s] … begin[s] + count[s] - 1; count >= 1.
template <class T, class Queue>
void segment_mean_forward(Queue& queue, int64_t segments, int64_t width, const int32_t* begin,
                          const int32_t* count, const T* x, T* out);

/// dx[r] += dout[s] / count[s] for the rows of segment s. Segments do not overlap.
template <class T, class Queue>
void segment_mean_backward(Queue& queue, int64_t segments, int64_t width, const int32_t* begin,
                           const int32_t* count, const T* dout, T* dx);

}  // namespace mome
