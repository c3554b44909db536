// The order of samples: a fresh permutation of the records each epoch, a pure function of (seed,
// epoch). Sample g of a run (of all ranks, counted from 0) is record perm(g / n)[g % n], so
// a resumed run needs nothing but its step, and a batch may span two epochs.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace mome {

/// Fisher-Yates on Philox's Purpose::kOrder; 0 <= n <= 2^31 - 1.
std::vector<int32_t> permutation(int64_t n, uint64_t seed, uint64_t epoch);

class SampleOrder {
 public:
  struct Sample {
    uint64_t epoch;
    int32_t record;
  };

  /// n >= 1 records.
  SampleOrder(int64_t n, uint64_t seed);

  /// Record of global sample g >= 0. O(1), but O(n) at the first sample of an epoch. Thread-safe.
  Sample at(int64_t g) const;

 private:
  using Permutation = std::shared_ptr<const std::vector<int32_t>>;
  Permutation permutation_of(uint64_t epoch) const;

  const int64_t n_;
  const uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::map<uint64_t, Permutation> kept_;  // the epochs that samples are drawn from now
};

}  // namespace mome
