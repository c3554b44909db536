// Decoded images of a data set: a cache in front of files, so that small sets are decoded once.
#pragma once
#include <atomic>
#include <cstdint>
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
class ImageStore {
 public:
  /// The data set must outlive the store.
  ImageStore(const Dataset& dataset, int64_t cache_mib);

  /// The image of a record. Throws Error, naming the file, if it cannot be read or decoded; the
  /// next call for it then does so at once. Thread-safe.
  std::shared_ptr<const Image> get(int32_t record);

  int64_t cached_bytes() const { return cached_bytes_; }

 private:
  struct Entry {
    std::shared_ptr<const Image> image;
    std::shared_ptr<const std::string> error;
  };

  const Dataset& dataset_;
  const int64_t limit_;  // bytes
  std::atomic<int64_t> cached_bytes_ = 0;
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace mome
