#include "runtime/data/image_store.h"

#include "runtime/core/error.h"
#include "runtime/data/read_bytes.h"
#include "runtime/image/decode.h"

namespace mome {

ImageStore::ImageStore(const Dataset& dataset, int64_t cache_mib)
    : dataset_(dataset), limit_(cache_mib << 20), entries_(dataset.records.size()) {}

std::shared_ptr<const Image> ImageStore::get(int32_t record) {
  Entry& entry = entries_.at(record);
  {
    const std::lock_guard lock(mutex_);
    if (entry.image) return entry.image;
    if (entry.error) throw Error(*entry.error);
  }
  try {
    const Record& r = dataset_.records[record];
    auto image =
        std::make_shared<const Image>(decode_image(read_bytes(r.image), image_name(r.image)));
    const int64_t bytes = int64_t(image->pixels.size());
    const std::lock_guard lock(mutex_);
    if (!entry.image && cached_bytes_ + bytes <= limit_) {
      entry.image = image;
      cached_bytes_ += bytes;
    }
    return image;
  } catch (const Error& e) {
    const std::lock_guard lock(mutex_);
    entry.error = std::make_shared<const std::string>(e.what());
    throw;
  }
}

}  // namespace mome
