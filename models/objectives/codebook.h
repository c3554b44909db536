// Discrete targets for masked image modelling (BEiT, Bao et al. 2022, §2.3 predicts visual
// tokens): here the nearest entry of a codebook of patches that k-means learned (`mome data
// codebook`), or one read from a file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/core/tensor.h"

namespace mome {

class Codebook {
 public:
  /// Reads a safetensors file with the tensor "codebook", F32 [K, 3p^2]: normalised patches in the
  /// order of patch_embed's weight (channel, row, column). Throws Error naming file, tensor and
  /// what was expected.
  explicit Codebook(const std::string& path);

  int64_t size() const { return size_; }    // K
  int64_t width() const { return width_; }  // 3p^2
  /// The nearest entry (Euclidean; the first of equals) of each row of patches [R, 3p^2]. Throws
  /// Error if the width differs.
  std::vector<int32_t> codes(Tensor patches) const;

 private:
  std::string path_;
  int64_t size_ = 0, width_ = 0;
  std::vector<float> entries_, half_norms_;  // |c|^2 / 2
};

/// k-means over rows [N, D] (Lloyd's algorithm, k-means++ start, Philox Purpose::kCluster): entries
/// [K, D]. N >= K. An entry that loses all its rows takes the row that is farthest from its own
/// entry. Deterministic. `progress` is told of each entry that the start has chosen and of each
/// iteration: done of K + iterations.
std::vector<float> learn_codebook(int64_t rows, int64_t width, const float* patches,
                                  int64_t entries, int64_t iterations, uint64_t seed,
                                  const std::function<void(int64_t done)>& progress = {});

}  // namespace mome
