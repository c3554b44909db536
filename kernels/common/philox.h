// Philox4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3" (SC 2011). A draw is a pure function of (seed, step, purpose, index): no state is
// kept, so a draw costs the same in any order, on any device and after any restart.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/common/half.h"

namespace mome {

/// What a random number is for. A new use gets a new value at the end: values are part of the
/// reproducibility contract (the same seed must draw the same numbers tomorrow).
enum class Purpose : uint32_t {
  kInit = 1,         // parameter initialisation; index = element, step = parameter's number
  kOrder = 2,        // order of samples in an epoch; step = epoch
  kAugment = 3,      // image augmentation; step = epoch, index = sample
  kCaption = 4,      // which caption is drawn
  kMaskText = 5,     // masked language modelling
  kMaskImage = 6,    // masked image modelling
  kNegative = 7,     // hard negatives for image-text matching
  kDropout = 8,      // dropout
  kDropPath = 9,     // stochastic depth
  kSynthetic = 10,   // made-up inputs of benchmarks
  kTest = 11,        // tests
  kCluster = 12,     // k-means initialisation
};

/// Four random words; a plain struct, since device code has no std::array.
struct PhiloxWords {
  uint32_t v[4];
  MOME_HOST_DEVICE uint32_t& operator[](int i) { return v[i]; }
  MOME_HOST_DEVICE const uint32_t& operator[](int i) const { return v[i]; }
  bool operator==(const PhiloxWords&) const = default;
};

namespace philox_detail {
MOME_HOST_DEVICE inline void round(PhiloxWords& c, uint32_t k0, uint32_t k1) {
  const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
  const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
  c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1, uint32_t(p0)};
}
}  // namespace philox_detail

/// Four random words for a 128-bit counter and a 64-bit key.
MOME_HOST_DEVICE inline PhiloxWords philox4x32(PhiloxWords counter, uint64_t key) {
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int i = 0; i < 10; ++i) {
    philox_detail::round(counter, k0, k1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// Words for draw `index` of `purpose` in `step`; counter layout: index low, index high, step, purpose.
MOME_HOST_DEVICE inline PhiloxWords philox(uint64_t seed, uint64_t step, Purpose purpose, uint64_t index) {
  return philox4x32({uint32_t(index), uint32_t(index >> 32), uint32_t(step),
                     uint32_t(purpose) | (uint32_t(step >> 32) << 8)}, seed);
}

/// [0, 1) with 24 bits: exact in float, so float and double code see the same number.
MOME_HOST_DEVICE inline double uniform01(uint32_t word) { return (word >> 8) * (1.0 / 16777216.0); }

/// A sequential view of the draws under one (seed, step, purpose, stream): for host code that needs
/// "the next number". Streams with different `stream` never overlap (2^32 words each).
class RandomStream {
 public:
  RandomStream(uint64_t seed, uint64_t step, Purpose purpose, uint64_t stream)
      : seed_(seed), step_(step), purpose_(purpose), index_(stream << 30) {}

  uint32_t next() {
    if (used_ == 4) {
      words_ = philox(seed_, step_, purpose_, index_++);
      used_ = 0;
    }
    return words_[used_++];
  }
  /// Uniform in [0, 1).
  double uniform() { return uniform01(next()); }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n); n >= 1. Multiply-shift (Lemire), bias below 2^-32.
  uint32_t below(uint32_t n) { return uint32_t((uint64_t{next()} * n) >> 32); }
  /// Standard normal (Box-Muller).
  double normal() {
    const double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  uint64_t seed_, step_;
  Purpose purpose_;
  uint64_t index_;
  PhiloxWords words_{};
  int used_ = 4;
};

}  // namespace mome
