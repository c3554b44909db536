#include "models/evaluation/evaluate.h"

#include <algorithm>
#include <unordered_map>

#include "kernels/common/gemm.h"
#include "kernels/common/philox.h"
#include "models/evaluation/fusion.h"
#include "models/evaluation/rerank.h"

namespace mome {
namespace {

const std::string& caption_of(const Dataset& d, const TextRef& t) {
  return d.records[size_t(t.record)].captions[size_t(t.caption)];
}

// Retrieval with the queries of `kind` ("" = all) against the whole gallery: words of that kind
// among all pictures, pictures of that kind among all words.
RetrievalResult recall_of_kind(const MomeModel& model, const Dataset& dataset, const Gallery& g,
                               const std::string& kind) {
  const int64_t dim = model.config().features(), images = int64_t(g.records.size()),
                texts = int64_t(g.texts.size());
  std::vector<uint8_t> text_asked, image_asked;
  for (const TextRef& t : g.texts)
    text_asked.push_back(kind.empty() || dataset.records[size_t(t.record)].kind == kind);
  for (int32_t r : g.records)
    image_asked.push_back(kind.empty() || dataset.records[size_t(r)].kind == kind);
  return retrieval(images, texts, dim, g.image_features.data(), g.text_features.data(),
                   g.right_images, image_asked, text_asked);
}

// For each record a record with another picture and other sentences: a random one, or the one that
// contrast ranks first.
struct WrongPictures {
  std::vector<int32_t> random, hard;  // positions in the list of pairs
};
WrongPictures wrong_pictures(const Dataset& dataset, const std::vector<TextRef>& pairs, int64_t dim,
                             const std::vector<float>& images, const std::vector<float>& texts,
                             uint64_t seed) {
  const int64_t n = int64_t(pairs.size());
  std::vector<float> score(static_cast<size_t>(n));
  WrongPictures out;
  const auto same = [&](int64_t a, int64_t b) {
    const std::vector<std::string>& list =
        dataset.records[size_t(pairs[size_t(b)].record)].captions;
    return a == b ||
           std::find(list.begin(), list.end(), caption_of(dataset, pairs[size_t(a)])) != list.end();
  };
  for (int64_t t = 0; t < n; ++t) {
    gemm<float>(cpu, Trans::kNo, Trans::kNo, n, 1, dim, 1, images.data(), dim,
                texts.data() + t * dim, 1, 0, score.data(), 1);
    int32_t best = -1, any = -1;
    for (int64_t i = 0; i < n; ++i)
      if (!same(t, i) && (best < 0 || score[size_t(i)] > score[size_t(best)])) best = int32_t(i);
    RandomStream random(seed, 0, Purpose::kNegative, uint64_t(t));
    for (int tries = 0; tries < 64 && any < 0; ++tries) {
      const int64_t i = random.below(uint32_t(n));
      if (!same(t, i)) any = int32_t(i);
    }
    out.random.push_back(any < 0 ? best : any);
    out.hard.push_back(best);
  }
  return out;
}

}  // namespace

Evaluation evaluate(MomeModel& model, const Dataset& dataset, EvalReader& reader,
                    const WordPiece& words, const EvaluateOptions& options, Arena& arena) {
  const auto tell = [&](const char* what, int64_t done, int64_t of) {
    if (options.progress) options.progress(what, done, of);
  };
  Evaluation e;
  Gallery g;
  g.texts = options.all_captions ? all_captions(dataset) : first_captions(dataset);
  if (g.texts.empty()) fail("{}: has no captions: there is nothing to evaluate", dataset.source);
  const int64_t pictures = int64_t(dataset.records.size());
  const int64_t all = pictures + int64_t(g.texts.size());
  tell("features", 0, all);
  g.image_features = image_features(model, reader, all_records(dataset), arena, g.records,
                            [&](int64_t done) { tell("features", done, all); });
  g.text_features = text_features(model, reader, g.texts, arena,
                          [&](int64_t done) { tell("features", pictures + done, all); });
  g.right_images = right_images(dataset, g.records, g.texts);
  e.retrieval = recall_of_kind(model, dataset, g, "");
  if (options.rerank > 0) {
    const int64_t queries = int64_t(g.texts.size() + g.records.size());
    e.has_reranked = true;
    e.reranked = reranked(model, reader, g, options.rerank, arena, [&](int64_t done) { tell("re-ranking", done, queries); });
  }
  for (const TextRef& t : g.texts) {
    const std::string& kind = dataset.records[size_t(t.record)].kind;
    if (!kind.empty() && !e.by_kind.count(kind))
      e.by_kind[kind] = recall_of_kind(model, dataset, g, kind);
  }
  if (!options.fusion || !model.parts().itm || !model.parts().mlm) return e;

  // One text a picture, pictures that could be read.
  const int64_t dim = model.config().features();
  std::vector<TextRef> pairs;
  std::vector<float> images, texts;
  std::unordered_map<int32_t, size_t> query_of;
  for (size_t t = 0; t < g.texts.size(); ++t) query_of.emplace(g.texts[t].record, t);
  for (size_t i = 0; i < g.records.size(); ++i) {
    const auto q = query_of.find(g.records[i]);
    if (q == query_of.end()) continue;
    pairs.push_back(g.texts[q->second]);
    images.insert(images.end(), g.image_features.begin() + std::ptrdiff_t(int64_t(i) * dim),
                  g.image_features.begin() + std::ptrdiff_t(int64_t(i + 1) * dim));
    texts.insert(texts.end(), g.text_features.begin() + std::ptrdiff_t(int64_t(q->second) * dim),
                 g.text_features.begin() + std::ptrdiff_t(int64_t(q->second + 1) * dim));
  }
  if (pairs.size() < 2) return e;
  e.has_fusion = true;
  const WrongPictures wrong = wrong_pictures(dataset, pairs, dim, images, texts, options.seed);
  if (std::find(wrong.hard.begin(), wrong.hard.end(), -1) != wrong.hard.end())
    fail("{}: a picture shares its sentence with every other picture; matching needs a wrong one",
         dataset.source);
  constexpr int64_t kChunk = 32;
  double random_wins = 0, hard_wins = 0;
  MaskedWords right_picture, wrong_picture, alone;
  for (int64_t begin = 0; begin < int64_t(pairs.size()); begin += kChunk) {
    tell("fusion", begin, int64_t(pairs.size()));
    const int64_t n = std::min<int64_t>(kChunk, int64_t(pairs.size()) - begin);
    std::vector<int32_t> records;
    std::vector<TextRef> refs;
    for (int64_t i = 0; i < n; ++i) refs.push_back(pairs[size_t(begin + i)]);
    for (const std::vector<int32_t>* list :
         {static_cast<const std::vector<int32_t>*>(nullptr), &wrong.random, &wrong.hard})
      for (int64_t i = 0; i < n; ++i)
        records.push_back(pairs[size_t(list ? (*list)[size_t(begin + i)] : begin + i)].record);
    const Batch image = reader.images(records), text = reader.texts(refs);
    std::vector<Pairing> pairing;
    for (int64_t i = 0; i < 3 * n; ++i) pairing.push_back({int32_t(i), int32_t(i % n)});
    const std::vector<float> score = matching_scores(model, image, text, pairing, arena);
    const auto beats = [](float a, float b) { return a > b ? 1.0 : a == b ? 0.5 : 0.0; };
    std::vector<MaskedText> masked;
    std::vector<int32_t> mine, other, none(size_t(n), -1);
    for (int64_t i = 0; i < n; ++i) {
      random_wins += beats(score[size_t(i)], score[size_t(n + i)]);
      hard_wins += beats(score[size_t(i)], score[size_t(2 * n + i)]);
      const auto tokens =
          std::span(text.tokens)
              .subspan(size_t(text.text_begin[size_t(i)]),
                       size_t(text.text_begin[size_t(i) + 1] - text.text_begin[size_t(i)]));
      masked.push_back(
          mask_words(tokens, words, options.mask_rate, options.seed, 0, uint64_t(begin + i)));
      mine.push_back(int32_t(i));
      other.push_back(int32_t(n + i));
    }
    const auto add = [](MaskedWords& to, const MaskedWords& m) {
      to.correct += m.correct, to.count += m.count;
    };
    add(right_picture, masked_words(model, image, masked, mine, arena));
    add(wrong_picture, masked_words(model, image, masked, other, arena));
    add(alone, masked_words(model, image, masked, none, arena));
  }
  tell("fusion", int64_t(pairs.size()), int64_t(pairs.size()));
  const auto rate = [](const MaskedWords& m) {
    return m.count ? double(m.correct) / double(m.count) : 0;
  };
  e.itm_pairwise_random = random_wins / double(pairs.size());
  e.itm_pairwise_hard = hard_wins / double(pairs.size());
  e.mlm_accuracy = rate(right_picture);
  e.mlm_accuracy_wrong_picture = rate(wrong_picture);
  e.mlm_accuracy_text_alone = rate(alone);
  e.masked_words = right_picture.count;
  return e;
}

}  // namespace mome
