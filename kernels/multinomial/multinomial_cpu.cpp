// Per row: one pass for the largest allowed score, one that writes exp(score - largest) and sums
// it, one that walks the cumulative sum to the drawn point. N^2 similarities are read twice (s
// bytes each; the second time from cache), N^2 exponentials; at a batch of 1000 pairs a few
// milliseconds.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/common/philox.h"
#include "kernels/common/simd_math.h"
#include "kernels/multinomial/multinomial.h"

namespace mome {
namespace {

/// Uniform in [0, 1) with 53 bits: 24 would never draw a candidate of probability below 6e-8.
double uniform53(uint32_t high, uint32_t low) {
  return double((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

/// The candidate at which the cumulative weight first exceeds u * total; a weight of 0 is never
/// drawn. Without any weight (scores of -inf or NaN alone) all candidates are alike.
template <class T>
int32_t pick(const std::vector<int32_t>& candidates, const std::vector<T>& weight, double u) {
  if (candidates.empty()) return -1;
  double total = 0;
  for (T w : weight) total += double(w);
  if (!(total > 0)) return candidates[size_t(u * double(candidates.size()))];
  const double target = u * total;
  double sum = 0;
  int32_t last = -1;
  for (size_t c = 0; c < candidates.size(); ++c) {
    if (!(weight[c] > T(0))) continue;
    sum += double(weight[c]);
    last = candidates[c];
    if (sum > target) break;
  }
  return last;  // also where rounding leaves the whole sum at or below the target
}

}  // namespace

template <class T, class Queue>
void draw_negatives(Queue&, int64_t n, const T* similarity, int64_t rs, int64_t cs, const T* log_scale,
                    const int64_t* image_id, const int64_t* caption_id, uint64_t seed,
                    uint64_t step, uint64_t stream, int32_t* negative) {
  const T scale = log_scale && n > 0 ? T(std::exp(double(*log_scale))) : T(0);
  parallel_chunks(
      n, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, n)), [&](int64_t begin, int64_t end) {
        static thread_local std::vector<int32_t> candidates;
        static thread_local std::vector<T> weight;
        for (int64_t i = begin; i < end; ++i) {
          candidates.clear(), weight.clear();
          T largest = -std::numeric_limits<T>::infinity();
          for (int64_t j = 0; j < n; ++j) {
            if (j == i || (image_id && image_id[j] == image_id[i]) ||
                (caption_id && caption_id[j] == caption_id[i]))
              continue;
            candidates.push_back(int32_t(j));
            weight.push_back(scale * similarity[i * rs + j * cs]);
            largest = std::max(largest, weight.back());
          }
#pragma omp simd
          for (size_t c = 0; c < weight.size(); ++c) weight[c] = fast_exp(weight[c] - largest);
          const auto word = philox(seed, step, Purpose::kNegative, (stream << 32) + uint64_t(i));
          negative[i] = pick(candidates, weight, uniform53(word[0], word[1]));
        }
      });
}

template void draw_negatives<float>(Cpu&, int64_t, const float*, int64_t, int64_t, const float*, const int64_t*,
                                    const int64_t*, uint64_t, uint64_t, uint64_t, int32_t*);
template void draw_negatives<double>(Cpu&, int64_t, const double*, int64_t, int64_t, const double*,
                                     const int64_t*, const int64_t*, uint64_t, uint64_t, uint64_t,
                                     int32_t*);

}  // namespace mome
