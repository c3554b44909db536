// Which text stands for a record in an epoch.
#pragma once
#include <cstdint>
#include <string>

#include "runtime/data/record.h"

namespace mome {

/// One caption, uniformly; or, with probability `keyword_captions` if the record has keywords (and
/// always if it has no caption), 1 to 4 of its keywords in random order, half the time after a
/// caption: "caption: keyword, keyword". A pure function of its arguments (Purpose::kCaption, step
/// = epoch, stream = sample). The record has a caption or a keyword.
std::string draw_caption(const Record& record, double keyword_captions, uint64_t seed,
                         uint64_t epoch, int64_t sample);

}  // namespace mome
