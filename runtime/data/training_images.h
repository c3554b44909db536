// Pictures of training samples: decoded, augmented, and replaced where they cannot be decoded.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/data/bad_images.h"
#include "runtime/data/image_store.h"
#include "runtime/image/augment.h"

namespace mome {

struct TrainingImageOptions {
  int image_size = 224;  // S, pixels
  uint64_t seed = 0;
  Augmentation augmentation;
  double max_bad = 0.01;    // pictures that may fail to decode, as a fraction of the records
  int64_t cache_mib = 512;  // for decoded pictures
  LogFunction log;
};

class TrainingImages {
 public:
  /// The data set must outlive it. Throws as check_augmentation.
  TrainingImages(const Dataset& dataset, const TrainingImageOptions& options);

  /// The records that are a sample's pictures.
  using Pictures = std::function<std::vector<int32_t>(int32_t sample)>;
  /// Makes the pictures of sample `drawn` of `samples`, or of the next one after it whose pictures
  /// all can be decoded: to[j] [S, S, 3] becomes picture j, each augmented by a stream of its own,
  /// a function of (seed, epoch, drawn, j). Returns which sample it became, or -1 if more pictures
  /// are bad than may be or no sample is left. What was tried in vain is added to `bad`.
  /// Thread-safe.
  int32_t fill(int32_t drawn, int32_t samples, uint64_t epoch, const Pictures& pictures,
               std::span<uint8_t* const> to, std::vector<BadImage>& bad) const;

  /// Counts and tells what fill() tried in vain, in the samples' order: when a worker met them is
  /// chance. Throws Error once there are too many.
  void note(const std::vector<std::vector<BadImage>>& of_samples);

  int64_t bad_images() const { return bad_.count(); }

 private:
  const TrainingImageOptions options_;
  mutable ImageStore store_;
  BadImages bad_;
};

}  // namespace mome
