// Model, per element of s bytes: adamw reads w, g, m, v and writes w, m, v, 7s bytes, 14 FLOPs with
// one square root and one division; squared_norm reads s, 2 FLOPs; moving_average reads and writes
// 3s, 3 FLOPs. Bound by memory: the only trick is one pass, and chunks that split long ranges and
// keep short ones whole, so that a bias and a vocabulary matrix load the cores alike.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "kernels/common/parallel.h"

namespace mome {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements of a chunk

struct Chunk {
  int64_t begin, end;
  const AdamWRange* range;
};

/// The ranges cut into chunks; valid until this thread's next call.
const std::vector<Chunk>& cut(int64_t ranges, const AdamWRange* range) {
  static thread_local std::vector<Chunk> chunks;
  chunks.clear();
  for (const AdamWRange* r = range; r < range + ranges; ++r)
    for (int64_t i = r->begin; i < r->end; i += kGrain)
      chunks.push_back({i, std::min(r->end, i + kGrain), r});
  return chunks;
}

template <class T>
struct Rates {
  T b1, c1, b2, c2, eps, grad_scale, rate, decay;
};

// The inner loops take their operands by value: see kernels/common/column_reduce.h.
template <class T>
void update(int64_t n, Rates<T> s, T* w, const T* g, T* m, T* v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T gi = g[i] * s.grad_scale;
    const T mi = s.b1 * m[i] + s.c1 * gi;
    const T vi = s.b2 * v[i] + s.c2 * gi * gi;
    const T stepped = w[i] - s.rate * (mi / (std::sqrt(vi) + s.eps));
    m[i] = mi;
    v[i] = vi;
    w[i] = stepped - s.decay * stepped;
  }
}

template <class T>
double sum_of_squares(int64_t n, const T* g) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += double(g[i]) * double(g[i]);
  return sum;
}

template <class T>
void average_run(int64_t n, T keep, T take, const T* w, T* average) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) average[i] = keep * average[i] + take * w[i];
}

}  // namespace

template <class T, class Queue>
void adamw(Queue&, const AdamWStep& step, int64_t ranges, const AdamWRange* range, T* w, const T* g, T* m,
           T* v) {
  const std::vector<Chunk>& chunks = cut(ranges, range);
  const double correction = std::sqrt(1 - std::pow(step.beta2, double(step.t))) /
                            (1 - std::pow(step.beta1, double(step.t)));
  Rates<T> rates{T(step.beta1), T(1 - step.beta1),  T(step.beta2), T(1 - step.beta2),
                 T(step.eps),   T(step.grad_scale), T(0),          T(0)};
  parallel_chunks(int64_t(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const Chunk& c = chunks[k];
      const double lr = step.lr * c.range->lr_scale;
      Rates<T> own = rates;
      own.rate = T(lr * correction);
      own.decay = T(lr * c.range->decay);
      update(c.end - c.begin, own, w + c.begin, g + c.begin, m + c.begin, v + c.begin);
    }
  });
}

template <class T, class Queue>
double squared_norm(Queue&, int64_t ranges, const AdamWRange* range, const T* g) {
  const std::vector<Chunk>& chunks = cut(ranges, range);
  static thread_local std::vector<double> scratch;
  scratch.resize(chunks.size());
  double* const partial = scratch.data();
  parallel_chunks(int64_t(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k)
      partial[k] = sum_of_squares(chunks[k].end - chunks[k].begin, g + chunks[k].begin);
  });
  double total = 0;
  for (size_t k = 0; k < chunks.size(); ++k) total += partial[k];
  return total;
}

template <class T, class Queue>
void moving_average(Queue&, int64_t count, double decay, const T* w, T* average) {
  parallel_chunks(count, kGrain, [&](int64_t begin, int64_t end) {
    average_run(end - begin, T(decay), T(1 - decay), w + begin, average + begin);
  });
}

#define MOME_INSTANTIATE(T)                                                                   \
  template void adamw<T>(Cpu&, const AdamWStep&, int64_t, const AdamWRange*, T*, const T*, T*, T*); \
  template double squared_norm<T>(Cpu&, int64_t, const AdamWRange*, const T*);                      \
  template void moving_average<T>(Cpu&, int64_t, double, const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
