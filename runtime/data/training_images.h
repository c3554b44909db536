// Pictures for training samples: decoded, augmented, and replaced where they cannot be decoded.
// JPEGs much larger than needed are decoded at 1/2, 1/4 or 1/8 of their sides (reduction() in
// runtime/image/augment.h), which differs from shrinking the whole picture by what one filter
// differs from another; what is cached never changes what comes out.
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
  double max_bad = 0.01;    // images that may fail to decode, as a fraction of the records
  int64_t cache_mib = 512;  // for decoded images
  LogFunction log;          // is told of each image that is skipped, on note()'s thread
};

class TrainingImages {
 public:
  /// Sample -> its k >= 1 pictures (records of the data set).
  using Pictures = std::function<std::vector<int32_t>(int32_t sample)>;

  /// The data set must outlive this. Throws Error for an augmentation that does not exist.
  TrainingImages(const Dataset& dataset, TrainingImageOptions options);

  /// Writes the pictures of sample `drawn`, or of the next one (drawn + 1, .., cyclically, of
  /// `samples`) that can all be decoded: picture j, augmented by stream drawn * k + j of `epoch`,
  /// to to[j] [S, S, 3]. `bad` receives each picture that cannot be decoded, once. Returns the
  /// sample, or -1 if more pictures are bad than may be or no sample is good. Throws ShardError
  /// (piped_shards.h). Thread-safe; a pure function of its arguments.
  int32_t fill(int32_t drawn, int32_t samples, uint64_t epoch, const Pictures& pictures,
               std::span<uint8_t* const> to, std::vector<BadImage>& bad);

  /// Counts what fill() found bad, in the samples' order (when a worker met it is chance). Throws
  /// Error, naming the first, once there are too many.
  void note(const std::vector<std::vector<BadImage>>& bad);

  int64_t bad_images() const { return bad_.count(); }

 private:
  const TrainingImageOptions options_;
  ImageStore store_;
  BadImages bad_;
};

}  // namespace mome
