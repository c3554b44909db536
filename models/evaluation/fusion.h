// What the fusion encoder has learned: matching scores of image-text pairs, and masked words with
// and without the picture.
#pragma once
#include <cstdint>
#include <vector>

#include "models/mome/model.h"
#include "runtime/data/batch.h"
#include "runtime/text/masking.h"

namespace mome {

/// A picture and a text of two batches.
struct Pairing {
  int32_t image = 0, text = 0;
};

/// Matching score of each pairing: logit(match) - logit(no match). Distinct inputs are embedded
/// once.
std::vector<float> matching_scores(MomeModel& model, const Batch& images, const Batch& texts,
                                   const std::vector<Pairing>& pairs, Arena& arena);

/// How many masked tokens are predicted right. image[b]: picture that text b is fused with; -1:
/// text alone.
struct MaskedWords {
  int64_t correct = 0, count = 0;
};
MaskedWords masked_words(MomeModel& model, const Batch& images,
                         const std::vector<MaskedText>& texts, const std::vector<int32_t>& image,
                         Arena& arena);

}  // namespace mome
