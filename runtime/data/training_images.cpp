#include "runtime/data/training_images.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

TrainingImages::TrainingImages(const Dataset& dataset, TrainingImageOptions options)
    : options_(std::move(options)),
      store_(dataset, options_.cache_mib),
      bad_(dataset, options_.max_bad, options_.log) {
  check_augmentation(options_.augmentation);
}

int32_t TrainingImages::fill(int32_t drawn, int32_t samples, uint64_t epoch,
                             const Pictures& pictures, std::span<uint8_t* const> to,
                             std::vector<BadImage>& bad) {
  for (int32_t tries = 0; tries < samples && int64_t(bad.size()) <= bad_.limit(); ++tries) {
    const int32_t candidate = int32_t((int64_t(drawn) + tries) % samples);
    const std::vector<int32_t> records = pictures(candidate);
    MOME_CHECK(records.size() == to.size());
    std::vector<std::shared_ptr<const Image>> images;
    for (const int32_t record : records) {
      try {
        images.push_back(store_.get(record));
      } catch (const Error& e) {
        const bool told = std::any_of(bad.begin(), bad.end(),
                                      [&](const BadImage& b) { return b.record == record; });
        if (!told) bad.push_back({record, e.what()});
      }
    }
    if (images.size() < records.size()) continue;
    for (size_t j = 0; j < images.size(); ++j) {
      RandomStream random(options_.seed, epoch, Purpose::kAugment,
                          uint64_t(drawn) * images.size() + j);
      const Image made = augment(*images[j], options_.image_size, options_.augmentation, random);
      std::copy(made.pixels.begin(), made.pixels.end(), to[j]);
    }
    return candidate;
  }
  return -1;
}

void TrainingImages::note(const std::vector<std::vector<BadImage>>& bad) {
  for (const auto& sample : bad) {
    for (const BadImage& image : sample) bad_.note(image);
  }
}

}  // namespace mome
