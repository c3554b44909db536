#include "runtime/data/training_images.h"

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/data/piped_shards.h"

namespace mome {

TrainingImages::TrainingImages(const Dataset& dataset, TrainingImageOptions options)
    : options_(std::move(options)),
      store_(dataset, options_.cache_mib,
             [this](int width, int height) {
               return reduction(width, height, options_.image_size, options_.augmentation);
             }),
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
    bool good = true;
    for (size_t j = 0; j < records.size(); ++j) {
      RandomStream random(options_.seed, epoch, Purpose::kAugment,
                          uint64_t(drawn) * records.size() + j);
      try {
        const auto [image, crop] = store_.part(records[j], [&](int width, int height) {
          return draw_crop(width, height, options_.augmentation, random);
        });
        const Image made =
            augment_crop(*image, crop, options_.image_size, options_.augmentation, random);
        std::copy(made.pixels.begin(), made.pixels.end(), to[j]);
      } catch (const ShardError&) {
        throw;
      } catch (const Error& e) {
        good = false;
        const bool told = std::any_of(bad.begin(), bad.end(),
                                      [&](const BadImage& b) { return b.record == records[j]; });
        if (!told) bad.push_back({records[j], e.what()});
      }
    }
    if (!good) continue;
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
