// Retrieval in two steps: the dual encoder names the best candidates, the fusion encoder puts them in order (ALBEF, Li et
// al. 2021, §4.1).
#pragma once
#include "models/evaluation/features.h"

namespace mome {

/// Matching scores (matching_scores) of one text, the only one of `text`, with each of these records' pictures. Error if one
/// cannot be read any more.
std::vector<float> match_pictures(MomeModel& model, EvalReader& reader, const Batch& text, std::span<const int32_t> records,
                                  Arena& arena);
/// Of one record's picture with each of these texts.
std::vector<float> match_texts(MomeModel& model, EvalReader& reader, int32_t record, std::span<const TextRef> texts, Arena& arena);

/// What a retrieval test has: pictures [I] and texts [T] with their features, and which belong together.
struct Gallery {
  std::vector<int32_t> records;  // of the pictures
  std::vector<TextRef> texts;
  std::vector<float> image_features, text_features;  // [I, D], [T, D]
  std::vector<std::vector<int32_t>> right_images;    // [T]
};

/// Recall when the k best candidates by cosine are ordered by matching score + cosine, as the published evaluation does with
/// k = 32; those behind them keep their places. `progress`: queries done.
RetrievalResult reranked(MomeModel& model, EvalReader& reader, const Gallery& gallery, int64_t k, Arena& arena,
                         const FeatureProgress& progress = {});

}  // namespace mome
