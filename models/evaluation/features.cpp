#include "models/evaluation/features.h"

#include <algorithm>
#include <unordered_map>

namespace mome {
namespace {

constexpr size_t kChunk = 64;  // samples a forward pass

}  // namespace

std::vector<float> image_features(MomeModel& model, EvalReader& reader,
                                  std::span<const int32_t> records, Arena& arena,
                                  std::vector<int32_t>& kept, const FeatureProgress& progress) {
  std::vector<float> out;
  kept.clear();
  for (size_t begin = 0; begin < records.size(); begin += kChunk) {
    const size_t n = std::min(kChunk, records.size() - begin);
    const Batch batch = reader.images(records.subspan(begin, n));
    if (batch.size > 0) append_image_features(model, batch, arena, out);
    kept.insert(kept.end(), batch.records.begin(), batch.records.end());
    if (progress) progress(int64_t(begin + n));
  }
  return out;
}

std::vector<float> text_features(MomeModel& model, const EvalReader& reader,
                                 std::span<const TextRef> texts, Arena& arena,
                                 const FeatureProgress& progress) {
  std::vector<float> out;
  for (size_t begin = 0; begin < texts.size(); begin += kChunk) {
    const size_t n = std::min(kChunk, texts.size() - begin);
    append_text_features(model, reader.texts(texts.subspan(begin, n)), arena, out);
    if (progress) progress(int64_t(begin + n));
  }
  return out;
}

std::vector<TextRef> first_captions(const Dataset& dataset) {
  std::vector<TextRef> out;
  for (size_t r = 0; r < dataset.records.size(); ++r)
    if (!dataset.records[r].captions.empty()) out.push_back({int32_t(r), 0});
  return out;
}

std::vector<std::vector<int32_t>> right_images(const Dataset& dataset,
                                               const std::vector<int32_t>& kept,
                                               const std::vector<TextRef>& texts) {
  std::unordered_map<std::string, std::vector<int32_t>> carriers;
  for (size_t i = 0; i < kept.size(); ++i)
    for (const std::string& caption : dataset.records[size_t(kept[i])].captions) {
      std::vector<int32_t>& list = carriers[caption];
      if (list.empty() || list.back() != int32_t(i)) list.push_back(int32_t(i));
    }
  std::vector<std::vector<int32_t>> right;
  for (const TextRef& t : texts)
    right.push_back(carriers[dataset.records[size_t(t.record)].captions[size_t(t.caption)]]);
  return right;
}

RetrievalResult evaluate_retrieval(MomeModel& model, const Dataset& dataset, EvalReader& reader,
                                   const std::vector<TextRef>& texts, Arena& arena) {
  std::vector<int32_t> kept;
  const std::vector<float> images =
      image_features(model, reader, all_records(dataset), arena, kept);
  const std::vector<float> queries = text_features(model, reader, texts, arena);
  return retrieval(int64_t(kept.size()), int64_t(texts.size()), model.config().features(),
                   images.data(), queries.data(), right_images(dataset, kept, texts));
}

}  // namespace mome
