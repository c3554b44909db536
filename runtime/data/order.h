// The order of samples: which record sample g of a run is (of all ranks, counted from 0). A pure
// function of the data set and the options, so a resumed run needs nothing but its step.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/common/philox.h"

namespace mome {

/// Fisher-Yates on Philox's Purpose::kOrder; 0 <= n <= 2^31 - 1.
std::vector<int32_t> permutation(int64_t n, uint64_t seed, uint64_t epoch);
std::vector<int32_t> permutation(int64_t n, RandomStream random);

class Order {
 public:
  struct Sample {
    uint64_t epoch;
    int32_t record;
  };
  virtual ~Order() = default;

  /// Record of global sample g >= 0. Thread-safe.
  virtual Sample at(int64_t g) const = 0;
};

/// A fresh permutation of all records each epoch: sample g is record perm(g / n)[g % n]. A batch
/// may span two epochs.
class SampleOrder : public Order {
 public:
  /// n >= 1 records.
  SampleOrder(int64_t n, uint64_t seed);

  /// O(1), but O(n) at the first sample of an epoch.
  Sample at(int64_t g) const override;

 private:
  using Permutation = std::shared_ptr<const std::vector<int32_t>>;
  Permutation permutation_of(uint64_t epoch) const;

  const int64_t n_;
  const uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::map<uint64_t, Permutation> kept_;  // the epochs that samples are drawn from now
};

}  // namespace mome
