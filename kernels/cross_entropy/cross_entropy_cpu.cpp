// Cross-entropy per logit of s bytes: one pass for the maximum, one that writes exp, one that
// scales: a row of 30,522 floats (120 KB) stays in L2, so memory sees 2 s bytes (s if logits are
// kept); 1 exponential and 4 FLOPs. Squared error: 3 s bytes and 3 FLOPs an element. Memory-bound,
// all of them.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/fixed_sum.h"
#include "kernels/common/maximum.h"
#include "kernels/common/parallel.h"
#include "kernels/common/simd_math.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace mome {
namespace {

constexpr int64_t kGrain = 16384;  // elements that are worth a chunk

/// Scratch of the calling thread for one value per row or chunk, combined in order afterwards.
template <class V>
std::vector<V>& slots(int64_t n) {
  static thread_local std::vector<V> memory;
  memory.assign(n, V{});
  return memory;
}

}  // namespace

template <class T, class Queue>
void cross_entropy(Queue&, int64_t rows, int64_t vocabulary, T* logits, int64_t ld, const int32_t* label,
                   double grad_scale, const Real<T>* loss_scale, bool keep_logits, CrossEntropyResult* result) {
  if (loss_scale) grad_scale *= double(*loss_scale);
  std::vector<CrossEntropyResult>& per_row = slots<CrossEntropyResult>(std::max<int64_t>(rows, 0));
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, vocabulary));
  parallel_chunks(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* x = logits + r * ld;
      const T largest = maximum(vocabulary, x), own = x[label[r]];
      per_row[r].correct = own == largest && std::find(x, x + label[r], largest) == x + label[r];
      const T sum =
          keep_logits
              ? fixed_sum<T>(vocabulary, [&](int64_t j) { return fast_exp(x[j] - largest); })
              : fixed_sum<T>(vocabulary,
                             [&](int64_t j) { return x[j] = fast_exp(x[j] - largest); });
      per_row[r].loss = std::log(double(sum)) + (double(largest) - double(own));
      if (keep_logits) continue;
      const T factor = T(grad_scale / double(sum));
#pragma omp simd
      for (int64_t j = 0; j < vocabulary; ++j) x[j] *= factor;
      x[label[r]] -= T(grad_scale);
    }
  });
  CrossEntropyResult total;
  for (const CrossEntropyResult& r : per_row) total.loss += r.loss, total.correct += r.correct;
  *result = total;
}

template <class T, class Queue>
void squared_error(Queue&, int64_t count, T* x, const T* target, double grad_scale, const Real<T>* loss_scale,
                   bool keep, double* sum) {
  if (loss_scale) grad_scale *= double(*loss_scale);
  std::vector<double>& per_chunk = slots<double>(chunk_count(std::max<int64_t>(count, 0), kGrain));
  const T factor = T(2 * grad_scale);
  parallel_chunks(count, kGrain, [&](int64_t begin, int64_t end) {
    T* xc = x + begin;
    const T* tc = target + begin;
    per_chunk[begin / kGrain] = fixed_sum<double>(end - begin, [&](int64_t j) {
      const T difference = xc[j] - tc[j];
      if (!keep) xc[j] = factor * difference;
      return double(difference) * double(difference);
    });
  });
  double total = 0;
  for (double part : per_chunk) total += part;
  *sum = total;
}

template <class T, class Queue>
void normalize_patches(Queue&, int64_t rows, int64_t width, const T* patches, T* out) {
  if (width <= 0) return;
  parallel_chunks(rows, std::max<int64_t>(1, kGrain / width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* v = patches + r * width;
      T* to = out + r * width;
      const double mean = fixed_sum<double>(width, [&](int64_t c) { return double(v[c]); }) / width;
      const double squares = fixed_sum<double>(
          width, [&](int64_t c) { return (double(v[c]) - mean) * (double(v[c]) - mean); });
      const double variance = width > 1 ? squares / double(width - 1) : 0;
      const double inverse = 1 / std::sqrt(variance + 1e-6);
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) to[c] = T((double(v[c]) - mean) * inverse);
    }
  });
}

#define MOME_INSTANTIATE(T)                                                                                           \
  template void cross_entropy<T>(Cpu&, int64_t, int64_t, T*, int64_t, const int32_t*, double, const T*, bool,         \
                                 CrossEntropyResult*);                                                                \
  template void squared_error<T>(Cpu&, int64_t, T*, const T*, double, const T*, bool, double*);                       \
  template void normalize_patches<T>(Cpu&, int64_t, int64_t, const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
