#include "runtime/data/image_store.h"

#include <utility>

#include "runtime/core/error.h"
#include "runtime/data/piped_shards.h"
#include "runtime/data/read_bytes.h"
#include "runtime/image/decode.h"

namespace mome {

ImageStore::ImageStore(const Dataset& dataset, int64_t cache_mib, Reduce reduce)
    : dataset_(dataset),
      limit_(cache_mib << 20),
      reduce_(std::move(reduce)),
      entries_(dataset.records.size()) {}

std::shared_ptr<const Image> ImageStore::get(int32_t record) {
  return part(record, [](int width, int height) { return Crop{0, 0, width, height}; }).image;
}

ImageStore::Part ImageStore::part(int32_t record, const Choose& choose) {
  Entry& entry = entries_.at(record);
  std::shared_ptr<const Image> kept;
  {
    const std::lock_guard lock(mutex_);
    if (entry.error) throw Error(*entry.error);
    kept = entry.image;
  }
  if (kept) return {kept, choose(kept->width, kept->height)};
  try {
    return decode(record, choose);
  } catch (const ShardError&) {
    throw;  // no picture's own fault
  } catch (const Error& e) {
    const std::lock_guard lock(mutex_);
    entry.error = std::make_shared<const std::string>(e.what());
    throw;
  }
}

ImageStore::Part ImageStore::decode(int32_t record, const Choose& choose) {
  const ImageRef& ref = dataset_.records[record].image;
  const std::vector<uint8_t> bytes = read_bytes(ref);
  EncodedImage encoded(bytes, image_name(ref));
  const int denominator =
      reduce_ && encoded.reducible() ? reduce_(encoded.width(), encoded.height()) : 1;
  const int width = (encoded.width() + denominator - 1) / denominator;
  const int height = (encoded.height() + denominator - 1) / denominator;
  const int64_t size = int64_t{width} * height * 3;
  const Crop crop = choose(width, height);
  if (cached_bytes_ + size > limit_) {
    return {std::make_shared<const Image>(encoded.decode(denominator, crop)),
            {0, 0, crop.width, crop.height}};
  }
  auto image = std::make_shared<const Image>(encoded.decode(denominator, {0, 0, width, height}));
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[record];
  if (!entry.image && cached_bytes_ + size <= limit_) {
    entry.image = image;
    cached_bytes_ += size;
  }
  return {std::move(image), crop};
}

}  // namespace mome
