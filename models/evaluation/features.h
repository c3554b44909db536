// Features of whole data sets, and retrieval on them.
#pragma once
#include <functional>
#include <span>

#include "models/evaluation/retrieval.h"
#include "runtime/data/eval_reader.h"

namespace mome {

/// Is told how many pictures or texts are done.
using FeatureProgress = std::function<void(int64_t done)>;

/// Features [n, itc_dim] of the images of `records`; `kept`: the records whose image could be
/// decoded, in order.
std::vector<float> image_features(MomeModel& model, EvalReader& reader,
                                  std::span<const int32_t> records, Arena& arena,
                                  std::vector<int32_t>& kept, const FeatureProgress& progress = {});
std::vector<float> text_features(MomeModel& model, const EvalReader& reader,
                                 std::span<const TextRef> texts, Arena& arena,
                                 const FeatureProgress& progress = {});

/// The first caption of every record that has one: its name, where further captions are
/// rephrasings.
std::vector<TextRef> first_captions(const Dataset& dataset);

/// For each text the positions in `kept` of the images that are right for it: all that carry the
/// same sentence.
std::vector<std::vector<int32_t>> right_images(const Dataset& dataset,
                                               const std::vector<int32_t>& kept,
                                               const std::vector<TextRef>& texts);

/// Retrieval between the data set's images and `texts`. Every image that carries the same sentence
/// as a text counts as right for it: equal sentences cannot be told apart.
RetrievalResult evaluate_retrieval(MomeModel& model, const Dataset& dataset, EvalReader& reader,
                                   const std::vector<TextRef>& texts, Arena& arena);

}  // namespace mome
