// Made-up soft targets of binary cross-entropy, as VQA has them.
#pragma once
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/common/philox.h"

namespace mome::testing {

struct SoftTargets {
  std::vector<int32_t> begin{0}, target_class;
  std::vector<float> score;

  /// [R * C], zero where no target is.
  template <class T>
  std::vector<T> dense(int64_t classes) const {
    std::vector<T> out((begin.size() - 1) * size_t(classes), T(0));
    for (size_t r = 0; r + 1 < begin.size(); ++r)
      for (int32_t k = begin[r]; k < begin[r + 1]; ++k)
        out[r * size_t(classes) + size_t(target_class[k])] = T(score[k]);
    return out;
  }
};

/// Of row r min(r % 12, C) classes, distinct, in random order, with a score of 0.3, 0.6, 0.9 or 1.
inline SoftTargets soft_targets(int64_t rows, int64_t classes, uint64_t stream) {
  SoftTargets t;
  for (int64_t r = 0; r < rows; ++r) {
    RandomStream random(2024, uint64_t(r), Purpose::kTest, stream);
    std::vector<int32_t> all(static_cast<size_t>(classes));
    std::iota(all.begin(), all.end(), 0);
    const int64_t n = std::min<int64_t>(r % 12, classes);
    for (int64_t k = 0; k < n; ++k) {
      std::swap(all[size_t(k)], all[size_t(k + random.below(uint32_t(classes - k)))]);
      t.target_class.push_back(all[size_t(k)]);
      t.score.push_back(std::vector{0.3f, 0.6f, 0.9f, 1.0f}[random.below(4)]);
    }
    t.begin.push_back(int32_t(t.score.size()));
  }
  return t;
}

}  // namespace mome::testing
