// Decoded images of a data set: a cache in front of files, so that small sets are decoded once.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/data/record.h"
#include "runtime/image/image.h"

namespace mome {

/// Keeps the images that come first until `cache_mib` is full and decodes the others each time:
/// with every record asked for once an epoch, no policy of replacement has more hits. What comes
/// out is the same either way.
///
/// Pictures may be kept and decoded at 1 / denominator of their sides (runtime/image/decode.h),
/// where the denominator is a function of their size alone; all of width, height and crop is then
/// of the reduced picture.
class ImageStore {
 public:
  /// Size of a picture -> its denominator.
  using Reduce = std::function<int(int width, int height)>;
  /// Size of the (reduced) picture -> the part that is looked at.
  using Choose = std::function<Crop(int width, int height)>;
  struct Part {
    std::shared_ptr<const Image> image;  // all of the picture, or the crop alone
    Crop crop;                           // within `image`
  };

  /// The data set must outlive the store. Without `reduce` pictures keep their size.
  ImageStore(const Dataset& dataset, int64_t cache_mib, Reduce reduce = nullptr);

  /// The image of a record, whole. Throws Error, naming the file, if it cannot be read or decoded;
  /// the next call for it then does so at once. ShardError passes (piped_shards.h). Thread-safe.
  std::shared_ptr<const Image> get(int32_t record);

  /// The part of it that `choose`, which is called once unless the picture's head is broken, names.
  /// Decodes no more than that where the cache has no room for the whole; errors as get().
  Part part(int32_t record, const Choose& choose);

  int64_t cached_bytes() const { return cached_bytes_; }

 private:
  struct Entry {
    std::shared_ptr<const Image> image;
    std::shared_ptr<const std::string> error;
  };

  Part decode(int32_t record, const Choose& choose);

  const Dataset& dataset_;
  const int64_t limit_;  // bytes
  const Reduce reduce_;
  std::atomic<int64_t> cached_bytes_ = 0;
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace mome
