#include "models/evaluation/rerank.h"

#include <algorithm>

#include "models/evaluation/fusion.h"
#include "models/evaluation/nearest.h"

namespace mome {
namespace {

constexpr size_t kChunk = 32;  // pairs a forward pass

// 0-based rank of the best right answer: `order` are the candidates, best first, after their scores were mended.
int64_t rank_of(const std::vector<Neighbour>& order, const std::vector<int32_t>& right) {
  for (size_t i = 0; i < order.size(); ++i)
    if (std::find(right.begin(), right.end(), int32_t(order[i].row)) != right.end()) return int64_t(i);
  return int64_t(order.size());
}

void mend(std::vector<Neighbour>& candidates, std::span<const float> match) {
  for (size_t i = 0; i < match.size(); ++i) candidates[i].score += match[i];
  std::stable_sort(candidates.begin(), candidates.begin() + std::ptrdiff_t(match.size()),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
}

}  // namespace

std::vector<float> match_pictures(MomeModel& model, EvalReader& reader, const Batch& text, std::span<const int32_t> records,
                                  Arena& arena) {
  std::vector<float> out;
  for (size_t begin = 0; begin < records.size(); begin += kChunk) {
    const auto some = records.subspan(begin, std::min(kChunk, records.size() - begin));
    const Batch images = reader.images(some);
    if (size_t(images.size) != some.size()) fail("a picture that was read before cannot be read any more");
    std::vector<Pairing> pairs;
    for (int32_t i = 0; i < images.size; ++i) pairs.push_back({i, 0});
    for (float score : matching_scores(model, images, text, pairs, arena)) out.push_back(score);
  }
  return out;
}

std::vector<float> match_texts(MomeModel& model, EvalReader& reader, int32_t record, std::span<const TextRef> texts, Arena& arena) {
  const Batch image = reader.images(std::span(&record, 1));
  if (image.size != 1) fail("a picture that was read before cannot be read any more");
  std::vector<float> out;
  for (size_t begin = 0; begin < texts.size(); begin += kChunk) {
    const Batch some = reader.texts(texts.subspan(begin, std::min(kChunk, texts.size() - begin)));
    std::vector<Pairing> pairs;
    for (int32_t i = 0; i < some.size; ++i) pairs.push_back({0, i});
    for (float score : matching_scores(model, image, some, pairs, arena)) out.push_back(score);
  }
  return out;
}

RetrievalResult reranked(MomeModel& model, EvalReader& reader, const Gallery& g, int64_t k, Arena& arena, const FeatureProgress& progress) {
  const int64_t dim = model.config().features(), images = int64_t(g.records.size()), texts = int64_t(g.texts.size());
  RetrievalResult result = retrieval(images, texts, dim, g.image_features.data(), g.text_features.data(), g.right_images);
  std::vector<std::vector<int32_t>> right_texts{size_t(images)};
  for (int64_t t = 0; t < texts; ++t)
    for (int32_t i : g.right_images[size_t(t)]) right_texts[size_t(i)].push_back(int32_t(t));

  // Recall at 10 must not end at k: at least as many candidates are ranked, of which the first k are mended.
  const int64_t listed = std::max<int64_t>(k, 10);
  const auto best = [&](int64_t gallery, const std::vector<float>& features, int64_t n, const std::vector<float>& queries) {
    const FeatureBlock block{features.data(), gallery, DType::kF32};
    return nearest({&block, 1}, dim, n, queries.data(), listed);
  };
  auto images_of = best(images, g.image_features, texts, g.text_features);
  auto texts_of = best(texts, g.text_features, images, g.image_features);
  std::vector<int64_t> of_texts, of_images;
  int64_t done = 0;
  for (int64_t t = 0; t < texts; ++t) {
    if (!g.right_images[size_t(t)].empty()) {
      auto& candidates = images_of[size_t(t)];
      std::vector<int32_t> records;
      for (size_t i = 0; i < candidates.size() && int64_t(i) < k; ++i) records.push_back(g.records[size_t(candidates[i].row)]);
      mend(candidates, match_pictures(model, reader, reader.texts(std::span(&g.texts[size_t(t)], 1)), records, arena));
      of_texts.push_back(rank_of(candidates, g.right_images[size_t(t)]));
    }
    if (progress) progress(++done);
  }
  for (int64_t i = 0; i < images; ++i) {
    if (!right_texts[size_t(i)].empty()) {
      auto& candidates = texts_of[size_t(i)];
      std::vector<TextRef> some;
      for (size_t c = 0; c < candidates.size() && int64_t(c) < k; ++c) some.push_back(g.texts[size_t(candidates[c].row)]);
      mend(candidates, match_texts(model, reader, g.records[size_t(i)], some, arena));
      of_images.push_back(rank_of(candidates, right_texts[size_t(i)]));
    }
    if (progress) progress(++done);
  }
  result.text_to_image = recall_of(of_texts);
  result.image_to_text = recall_of(of_images);
  return result;
}

}  // namespace mome
