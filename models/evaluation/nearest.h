// Exact search among features: for each query the rows with the largest dot products, which of
// L2-normalised features are their cosines.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/core/tensor.h"

namespace mome {

/// Rows of features that lie together, in memory or in a mapped file: [rows, D], row-major.
struct FeatureBlock {
  const void* data = nullptr;  // aligned to its dtype
  int64_t rows = 0;
  DType dtype = DType::kF32;  // or kF16, finite values
};

struct Neighbour {
  int64_t row;  // counted through all blocks
  float score;
};

/// For each of `queries` [Q, D] the k best rows of all blocks (all if there are fewer), best first,
/// equal scores in the order of their rows. Rows with a score that is not a number are never found.
///
/// A score is a float sum in an order that depends on D alone: the same query finds the same rows
/// with the same scores however many queries are asked at once, however rows are divided into
/// blocks, under any number of threads. On all cores; beside the blocks it takes a few MiB a
/// thread.
std::vector<std::vector<Neighbour>> nearest(std::span<const FeatureBlock> blocks, int64_t dim,
                                            int64_t queries, const float* query, int64_t k);

}  // namespace mome
