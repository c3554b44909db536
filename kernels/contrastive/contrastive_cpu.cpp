// Normalisation: 2 s bytes and 3 FLOPs an element. Loss over N x N similarities of s bytes: the row
// pass reads them once, the column pass twice (stripes of columns walked from top to bottom, so
// rows of the matrix are read along), the gradient pass reads and writes once: 5 s bytes, 4
// exponentials and about 20 FLOPs an element. Logits are recomputed each time, so no second matrix
// is needed.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/common/fixed_sum.h"
#include "kernels/common/parallel.h"
#include "kernels/common/simd_math.h"
#include "kernels/contrastive/contrastive.h"

namespace mome {
namespace {

constexpr double kSmallestNorm = 1e-12;
constexpr int64_t kGrain = 16384;  // elements that are worth a chunk
constexpr int64_t kStripe = 64;    // columns a task of the column pass

int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
}

/// An N x N matrix of similarities in which other true pairs are -inf. Softmaxes subtract the
/// largest similarity before they multiply by scale: the difference is exact where it matters.
template <class T>
struct Candidates {
  int64_t n;
  const T* similarity;
  const int64_t *image, *caption;  // null: all differ

  /// x = columns begin … begin + count - 1 of row i.
  void row(int64_t i, int64_t begin, int64_t count, T* x) const {
    const T* s = similarity + i * n;
    std::copy_n(s + begin, count, x);
    for (const int64_t* id : {image, caption}) {
      if (!id) continue;
      const int64_t own = id[i];
#pragma omp simd
      for (int64_t c = 0; c < count; ++c)
        x[c] = id[begin + c] == own ? -std::numeric_limits<T>::infinity() : x[c];
    }
    if (begin <= i && i < begin + count) x[i - begin] = s[i];
  }
};

/// Memory of this thread for a row, kept between calls; `use` tells apart rows needed at one time.
template <class T, int use = 0>
T* row_buffer(int64_t n) {
  static thread_local std::vector<T> memory;
  if (int64_t(memory.size()) < n) memory.resize(n);
  return memory.data();
}

/// One softmax: largest similarity, sum of exp(scale * (similarity - largest)).
template <class T>
struct Softmax {
  T largest = -std::numeric_limits<T>::infinity();
  T sum = 0;
  bool first_is_diagonal = false;  // none exceeds the diagonal's, none before equals it

  double loss(double scale, T diagonal) const {
    return std::log(double(sum)) + scale * (double(largest) - double(diagonal));
  }
};

template <class T>
void row_pass(const Candidates<T>& s, T scale, Softmax<T>* rows) {
  parallel_chunks(s.n, row_grain(s.n), [&](int64_t begin, int64_t end) {
    T* x = row_buffer<T>(s.n);
    for (int64_t i = begin; i < end; ++i) {
      s.row(i, 0, s.n, x);
      T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
      for (int64_t j = 0; j < s.n; ++j) largest = std::max(largest, x[j]);
      rows[i].largest = largest;
      rows[i].first_is_diagonal = x[i] == largest && std::find(x, x + i, largest) == x + i;
      rows[i].sum =
          fixed_sum<T>(s.n, [&](int64_t j) { return fast_exp(scale * (x[j] - largest)); });
    }
  });
}

template <class T>
void column_pass(const Candidates<T>& s, T scale, Softmax<T>* columns) {
  parallel_chunks(s.n, kStripe, [&](int64_t begin, int64_t end) {
    const int64_t width = end - begin;
    T x[kStripe], largest[kStripe], sum[kStripe];
    int32_t first[kStripe];  // row of the first largest
    std::fill_n(largest, width, -std::numeric_limits<T>::infinity());
    std::fill_n(sum, width, T(0));
    std::fill_n(first, width, -1);
    for (int64_t i = 0; i < s.n; ++i) {
      s.row(i, begin, width, x);
      const int32_t row = int32_t(i);
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) {
        first[c] = x[c] > largest[c] ? row : first[c];
        largest[c] = x[c] > largest[c] ? x[c] : largest[c];
      }
    }
    for (int64_t i = 0; i < s.n; ++i) {
      s.row(i, begin, width, x);
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) sum[c] += fast_exp(scale * (x[c] - largest[c]));
    }
    for (int64_t c = 0; c < width; ++c) {
      columns[begin + c].largest = largest[c];
      columns[begin + c].sum = sum[c];
      columns[begin + c].first_is_diagonal = first[c] == begin + c;
    }
  });
}

}  // namespace

template <class T, class Queue>
void l2_normalize_forward(Queue&, int64_t rows, int64_t width, const T* x, T* y, Real<T>* inverse_norm) {
  parallel_chunks(rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* from = x + r * width;
      // In double: squares of small floats would vanish.
      const double squares =
          fixed_sum<double>(width, [&](int64_t c) { return double(from[c]) * double(from[c]); });
      const T inverse = T(1 / std::max(std::sqrt(squares), kSmallestNorm));
      inverse_norm[r] = inverse;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) y[r * width + c] = from[c] * inverse;
    }
  });
}

template <class T, class Queue>
void l2_normalize_backward(Queue&, int64_t rows, int64_t width, const T* y, const Real<T>* inverse_norm,
                           const T* dy, T* dx) {
  parallel_chunks(rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T *yr = y + r * width, *dyr = dy + r * width, inverse = inverse_norm[r];
      // A norm at the floor is a constant: no part of the gradient goes through it.
      const T along = inverse >= T(1 / kSmallestNorm)
                          ? T(0)
                          : fixed_sum<T>(width, [&](int64_t c) { return yr[c] * dyr[c]; });
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) dx[r * width + c] = inverse * (dyr[c] - along * yr[c]);
    }
  });
}

template <class T, class Queue>
void contrastive_loss(Queue&, int64_t n, T* similarity, const T* log_scale, const int64_t* image_id,
                      const int64_t* caption_id, double grad_scale, const T* loss_scale, T* dlog_scale,
                      ContrastiveResult* out) {
  *out = {};
  if (n <= 0) return;
  ContrastiveResult result;
  const double scale = std::exp(double(*log_scale));
  if (loss_scale) grad_scale *= double(*loss_scale);
  static thread_local std::vector<Softmax<T>> softmax_memory;
  static thread_local std::vector<double> dscale_memory;
  softmax_memory.assign(2 * n, {});
  dscale_memory.assign(n, 0);
  Softmax<T>*rows = softmax_memory.data(), *columns = rows + n;
  double* dscale = dscale_memory.data();
  const Candidates<T> candidate{n, similarity, image_id, caption_id};
  row_pass(candidate, T(scale), rows);
  column_pass(candidate, T(scale), columns);
  for (int64_t i = 0; i < n; ++i) {
    const T diagonal = similarity[i * n + i];
    result.loss +=
        (rows[i].loss(scale, diagonal) + columns[i].loss(scale, diagonal)) / (2.0 * double(n));
    result.image_correct += rows[i].first_is_diagonal;
    result.text_correct += columns[i].first_is_diagonal;
  }
  const T factor = T(grad_scale / (2.0 * double(n)));
  const T t = T(scale);
  static thread_local std::vector<T> column_memory;
  column_memory.resize(2 * n);
  T *column_largest = column_memory.data(), *column_inverse = column_largest + n;
  for (int64_t j = 0; j < n; ++j) {
    column_largest[j] = columns[j].largest;
    column_inverse[j] = T(1) / columns[j].sum;
  }
  parallel_chunks(n, row_grain(n), [&](int64_t begin, int64_t end) {
    T *x = row_buffer<T>(n), *g = row_buffer<T, 1>(n);
    for (int64_t i = begin; i < end; ++i) {
      const T largest = rows[i].largest, inverse = T(1) / rows[i].sum;
      auto by_row = [&](T v) { return fast_exp(t * (v - largest)) * inverse; };
      auto by_column = [&](T v, int64_t j) {
        return fast_exp(t * (v - column_largest[j])) * column_inverse[j];
      };
      candidate.row(i, 0, n, x);
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) g[j] = factor * (by_row(x[j]) + by_column(x[j], j));
      g[i] = factor * ((by_row(x[i]) - T(1)) + (by_column(x[i], i) - T(1)));  // g: of the logits
      T* s = similarity + i * n;
      dscale[i] = fixed_sum<double>(n, [&](int64_t j) { return double(g[j]) * double(s[j]); });
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) s[j] = t * g[j];
    }
  });
  *out = result;
  if (!dlog_scale) return;
  double total = 0;  // d loss / d scale
  for (int64_t i = 0; i < n; ++i) total += dscale[i];
  *dlog_scale += T(total * scale);
}

#define MOME_INSTANTIATE(T)                                                                                             \
  template void l2_normalize_forward<T>(Cpu&, int64_t, int64_t, const T*, T*, T*);                                      \
  template void l2_normalize_backward<T>(Cpu&, int64_t, int64_t, const T*, const T*, const T*, T*);                     \
  template void contrastive_loss<T>(Cpu&, int64_t, T*, const T*, const int64_t*, const int64_t*, double, const T*, T*, \
                                    ContrastiveResult*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
