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

}  // namespace

template <class T>
void adamw(const AdamWStep& step, int64_t ranges, const AdamWRange* range, T* w, const T* g, T* m,
           T* v) {
  const std::vector<Chunk>& chunks = cut(ranges, range);
  const double correction = std::sqrt(1 - std::pow(step.beta2, double(step.t))) /
                            (1 - std::pow(step.beta1, double(step.t)));
  const T b1 = T(step.beta1), c1 = T(1 - step.beta1), b2 = T(step.beta2), c2 = T(1 - step.beta2);
  const T eps = T(step.eps), grad_scale = T(step.grad_scale);
  parallel_chunks(int64_t(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const double lr = step.lr * chunks[k].range->lr_scale;
      const T rate = T(lr * correction), decay = T(lr * chunks[k].range->decay);
#pragma omp simd
      for (int64_t i = chunks[k].begin; i < chunks[k].end; ++i) {
        const T gi = g[i] * grad_scale;
        const T mi = b1 * m[i] + c1 * gi;
        const T vi = b2 * v[i] + c2 * gi * gi;
        const T stepped = w[i] - rate * (mi / (std::sqrt(vi) + eps));
        m[i] = mi;
        v[i] = vi;
        w[i] = stepped - decay * stepped;
      }
    }
  });
}

template <class T>
double squared_norm(int64_t ranges, const AdamWRange* range, const T* g) {
  const std::vector<Chunk>& chunks = cut(ranges, range);
  static thread_local std::vector<double> scratch;
  scratch.resize(chunks.size());
  double* const partial = scratch.data();
  parallel_chunks(int64_t(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = chunks[k].begin; i < chunks[k].end; ++i) sum += double(g[i]) * double(g[i]);
      partial[k] = sum;
    }
  });
  double total = 0;
  for (size_t k = 0; k < chunks.size(); ++k) total += partial[k];
  return total;
}

template <class T>
void moving_average(int64_t count, double decay, const T* w, T* average) {
  const T keep = T(decay), take = T(1 - decay);
  parallel_chunks(count, kGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) average[i] = keep * average[i] + take * w[i];
  });
}

#define MOME_INSTANTIATE(T)                                                                   \
  template void adamw<T>(const AdamWStep&, int64_t, const AdamWRange*, T*, const T*, T*, T*); \
  template double squared_norm<T>(int64_t, const AdamWRange*, const T*);                      \
  template void moving_average<T>(int64_t, double, const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
