// Per logit of s bytes: one pass for the maximum and one for loss and gradient, the second from L1
// or L2 (3,129 answers of VQA are 13 KB), and a dense row of targets that stays in the cache:
// memory sees 2 s bytes (s if logits are kept); 1 exponential, 2 divisions and about 35 FLOPs, so
// that a core is bound by arithmetic.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/common/fixed_sum.h"
#include "kernels/common/maximum.h"
#include "kernels/common/parallel.h"
#include "kernels/common/simd_math.h"

namespace mome {
namespace {

constexpr int64_t kGrain = 4096;  // elements that are worth a chunk

/// log(1 + e) for e in [0, 1]: 2 artanh(s), s = e / (2 + e) <= 1/3, by its series; what is left out
/// is below 1.4e-9 of the value. Straight-line code, unlike std::log1p, and exact for small e too.
float log1p_of_unit(float e) {
  const float s = e / (2.0f + e), z = s * s;
  float p = 1.0f / 15;
  p = p * z + 1.0f / 13;
  p = p * z + 1.0f / 11;
  p = p * z + 1.0f / 9;
  p = p * z + 1.0f / 7;
  p = p * z + 1.0f / 5;
  p = p * z + 1.0f / 3;
  return 2.0f * (p * z * s + s);
}
double log1p_of_unit(double e) { return std::log1p(e); }

/// Loss of a row against dense targets; its logits become gradients unless kept.
template <bool kKeep, class T>
double row_loss(int64_t classes, T* x, const T* target, T weight) {
  return fixed_sum<double>(classes, [&](int64_t j) {
    const T v = x[j], far = std::fabs(v), e = fast_exp(-far);
    const T u = v >= 0 ? T(1) - target[j] : target[j];
    if constexpr (!kKeep) {
      const T g = weight * (u - e / (T(1) + e));
      x[j] = v >= 0 ? g : -g;
    }
    return double(far * u + log1p_of_unit(e));
  });
}

}  // namespace

template <class T, class Queue>
void binary_cross_entropy(Queue&, int64_t rows, int64_t classes, T* logits, int64_t ld,
                          const int32_t* begin, const int32_t* target_class,
                          const float* target_score, double grad_scale, const Real<T>* loss_scale,
                          bool keep_logits, BinaryCrossEntropyResult* result) {
  if (loss_scale) grad_scale *= double(*loss_scale);
  std::vector<BinaryCrossEntropyResult> per_row(static_cast<size_t>(std::max<int64_t>(rows, 0)));
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, classes));
  parallel_chunks(rows, grain, [&](int64_t first, int64_t end) {
    std::vector<T> target(static_cast<size_t>(classes), T(0));
    for (int64_t r = first; r < end; ++r) {
      for (int32_t k = begin[r]; k < begin[r + 1]; ++k)
        target[size_t(target_class[k])] = T(target_score[k]);
      T* x = logits + r * ld;
      const int64_t place = std::find(x, x + classes, maximum(classes, x)) - x;
      per_row[size_t(r)].score = place < classes ? double(target[size_t(place)]) : 0;
      per_row[size_t(r)].loss = keep_logits
                                    ? row_loss<true>(classes, x, target.data(), T(grad_scale))
                                    : row_loss<false>(classes, x, target.data(), T(grad_scale));
      for (int32_t k = begin[r]; k < begin[r + 1]; ++k) target[size_t(target_class[k])] = 0;
    }
  });
  BinaryCrossEntropyResult total;
  for (const BinaryCrossEntropyResult& r : per_row) total.loss += r.loss, total.score += r.score;
  total.rows = int64_t(per_row.size());
  *result = total;
}

#define MOME_INSTANTIATE(T)                                                                   \
  template void binary_cross_entropy<T>(Cpu&, int64_t, int64_t, T*, int64_t, const int32_t*,  \
                                        const int32_t*, const float*, double, const T*, bool, \
                                        BinaryCrossEntropyResult*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
