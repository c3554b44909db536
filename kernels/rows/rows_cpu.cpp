// Model, per element of s bytes: gather reads and writes 2s; its gradient reads each reader and
// writes each source row once, (1 + sources/readers) s; segment mean reads s and writes s / count,
// its gradient reads and writes 2s. At most 1 FLOP an element: bound by memory.
#include <algorithm>

#include "kernels/common/column_reduce.h"
#include "kernels/rows/rows.h"

namespace mome {
namespace {

template <class T>
void divide_row(int64_t width, T divisor, T* x) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) x[c] /= divisor;
}

}  // namespace

template <class T, class Queue>
void gather_rows_forward(Queue&, int64_t rows, int64_t width, const T* x, const int32_t* index, T* out) {
  parallel_chunks(rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* from = x + index[r] * width;
      std::copy(from, from + width, out + r * width);
    }
  });
}

GatherInverse invert_gather(int64_t source_rows, const std::vector<int32_t>& index) {
  GatherInverse inverse;
  inverse.begin.assign(source_rows + 1, 0);
  for (int32_t s : index) ++inverse.begin[s + 1];
  for (int64_t s = 0; s < source_rows; ++s) inverse.begin[s + 1] += inverse.begin[s];
  inverse.reader.resize(index.size());
  std::vector<int32_t> next(inverse.begin.begin(), inverse.begin.end() - 1);
  for (size_t r = 0; r < index.size(); ++r) inverse.reader[next[index[r]]++] = int32_t(r);
  return inverse;
}

template <class T, class Queue>
void gather_rows_backward(Queue&, int64_t source_rows, int64_t width, const int32_t* begin,
                          const int32_t* reader, const T* dout, T* dx, bool accumulate) {
  parallel_chunks(source_rows, row_grain(width), [&](int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s) {
      T* to = dx + s * width;
      int32_t i = begin[s];
      const int32_t last = begin[s + 1];
      if (!accumulate && i < last) {
        const T* from = dout + reader[i++] * width;
        std::copy(from, from + width, to);
      } else if (!accumulate) {
        std::fill(to, to + width, T(0));
      }
      for (; i < last; ++i) add_row(width, dout + reader[i] * width, to);
    }
  });
}

template <class T, class Queue>
void segment_mean_forward(Queue&, int64_t segments, int64_t width, const int32_t* begin,
                          const int32_t* count, const T* x, T* out) {
  // A segment is tens to hundreds of rows: one of them is work enough for a chunk.
  parallel_chunks(segments, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      T* o = out + s * width;
      const T* from = x + begin[s] * width;
      std::copy(from, from + width, o);
      for (int32_t r = 1; r < count[s]; ++r) add_row(width, from + r * width, o);
      divide_row(width, T(count[s]), o);
    }
  });
}

template <class T, class Queue>
void segment_mean_backward(Queue&, int64_t segments, int64_t width, const int32_t* begin,
                           const int32_t* count, const T* dout, T* dx) {
  parallel_chunks(segments, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      const T* d = dout + s * width;
      const T share = T(1) / T(count[s]);
      for (int32_t r = 0; r < count[s]; ++r)
        add_scaled_row(width, share, d, dx + (begin[s] + r) * width);
    }
  });
}

#define MOME_INSTANTIATE(T)                                                                   \
  template void gather_rows_forward<T>(Cpu&, int64_t, int64_t, const T*, const int32_t*, T*);       \
  template void gather_rows_backward<T>(Cpu&, int64_t, int64_t, const int32_t*, const int32_t*,      \
                                        const T*, T*, bool);                                                \
  template void segment_mean_forward<T>(Cpu&, int64_t, int64_t, const int32_t*, const int32_t*,     \
                                        const T*, T*);                                        \
  template void segment_mean_backward<T>(Cpu&, int64_t, int64_t, const int32_t*, const int32_t*,    \
                                         const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
