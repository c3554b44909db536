#include "runtime/data/caption_draw.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/common/philox.h"
#include "runtime/core/error.h"

namespace mome {

std::string draw_caption(const Record& record, double keyword_captions, uint64_t seed,
                         uint64_t epoch, int64_t sample) {
  const uint32_t captions = uint32_t(record.captions.size());
  const uint32_t keywords = uint32_t(record.keywords.size());
  MOME_CHECK(captions + keywords > 0);
  RandomStream random(seed, epoch, Purpose::kCaption, uint64_t(sample));
  // Always drawn, so that one option does not change what another one sees.
  const double which = random.uniform();
  const std::string caption = captions > 0 ? record.captions[random.below(captions)] : "";
  if (keywords == 0 || (captions > 0 && which >= keyword_captions)) return caption;

  const bool with_caption = captions > 0 && random.uniform() < 0.5;
  const uint32_t count = 1 + random.below(std::min(keywords, 4u));
  std::vector<uint32_t> order(keywords);
  for (uint32_t i = 0; i < keywords; ++i) order[i] = i;
  std::string text = with_caption ? caption + ": " : "";
  for (uint32_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + random.below(keywords - i)]);
    if (i > 0) text += ", ";
    text += record.keywords[order[i]];
  }
  return text;
}

}  // namespace mome
