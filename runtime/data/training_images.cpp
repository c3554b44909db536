#include "runtime/data/training_images.h"

#include <algorithm>
#include <memory>

#include "kernels/common/philox.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

const TrainingImageOptions& checked(const TrainingImageOptions& options) {
  check_augmentation(options.augmentation);
  return options;
}

}  // namespace

TrainingImages::TrainingImages(const Dataset& dataset, const TrainingImageOptions& options)
    : options_(checked(options)),
      store_(dataset, options.cache_mib),
      bad_(dataset, options.max_bad, options.log) {}

int32_t TrainingImages::fill(int32_t drawn, int32_t samples, uint64_t epoch,
                             const Pictures& pictures, std::span<uint8_t* const> to,
                             std::vector<BadImage>& bad) const {
  // Past the limit of bad pictures the run ends: no need to look further.
  const size_t limit = size_t(bad_.limit()) + bad.size();
  for (int32_t tries = 0; tries < samples && bad.size() <= limit; ++tries) {
    const int32_t candidate = int32_t((int64_t(drawn) + tries) % samples);
    const std::vector<int32_t> records = pictures(candidate);
    MOME_CHECK(records.size() == to.size());
    std::vector<std::shared_ptr<const Image>> images;
    for (const int32_t record : records) {
      try {
        images.push_back(store_.get(record));
      } catch (const Error& e) {
        bad.push_back({record, e.what()});
      }
    }
    if (images.size() < records.size()) continue;
    for (size_t j = 0; j < images.size(); ++j) {
      // Later pictures draw from streams that no sample's first picture has.
      RandomStream random(options_.seed, epoch, Purpose::kAugment,
                          uint64_t(drawn) | uint64_t(j) << 32);
      const Image made = augment(*images[j], options_.image_size, options_.augmentation, random);
      std::copy(made.pixels.begin(), made.pixels.end(), to[j]);
    }
    return candidate;
  }
  return -1;
}

void TrainingImages::note(const std::vector<std::vector<BadImage>>& of_samples) {
  for (const auto& sample : of_samples)
    for (const BadImage& bad : sample) bad_.note(bad);
}

}  // namespace mome
