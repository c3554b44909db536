#include "tools/searcher.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "models/evaluation/fusion.h"
#include "runtime/core/error.h"
#include "runtime/data/read_bytes.h"
#include "runtime/image/decode.h"

namespace mome {
namespace {

using nlohmann::ordered_json;

Batch text_batch(const Retriever& r, std::span<const std::string> texts) {
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts)
    tokens.push_back(r.words.encode_text(text, int(r.model->config().text_length)));
  Batch batch;
  batch.size = int(texts.size());
  pack_texts(tokens, batch);
  return batch;
}

Batch picture_batch(const Retriever& r, std::span<const std::string> files) {
  Dataset pictures;
  for (const std::string& file : files) pictures.records.emplace_back().image.file = file;
  // That some are skipped is no more than a hint here: whichever is broken says so itself.
  EvalReader reader(pictures, nullptr, r.reader_options(1, [](const std::string&) {}));
  Batch batch;
  try {
    batch = reader.images(all_records(pictures));
  } catch (const Error&) {  // all of them
  }
  for (size_t i = 0; i < files.size() && batch.size != int(files.size()); ++i)
    if (i >= batch.records.size() || batch.records[i] != int32_t(i))
      decode_image(read_bytes(pictures.records[i].image), files[i]);
  return batch;
}

/// Calls f(some) with the names in pieces that one forward pass takes.
template <class F>
Queries embed_in_pieces(std::span<const std::string> names, F&& f) {
  constexpr size_t kChunk = 64;
  Queries q{{names.begin(), names.end()}, {}};
  for (size_t i = 0; i < names.size(); i += kChunk)
    f(names.subspan(i, std::min(kChunk, names.size() - i)), q.features);
  return q;
}

const std::string& caption_of(const Record& record) {
  return record.captions.empty() ? record.key : record.captions[0];
}

}  // namespace

Queries text_queries(Retriever& r, std::span<const std::string> texts) {
  return embed_in_pieces(texts, [&](auto some, std::vector<float>& features) {
    append_text_features(*r.model, text_batch(r, some), r.arena, features);
  });
}

Queries picture_queries(Retriever& r, std::span<const std::string> files) {
  return embed_in_pieces(files, [&](auto some, std::vector<float>& features) {
    append_image_features(*r.model, picture_batch(r, some), r.arena, features);
  });
}

void require_matching_head(const Retriever& r) {
  if (!r.model->parts().itm) fail("{}: has no matching head; --rerank needs one", r.checkpoint);
}

Searcher::Searcher(Retriever& r, std::unique_ptr<Gallery> gallery, bool pictures,
                   std::optional<std::unordered_set<std::string>> unseen)
    : r_(r), gallery_(std::move(gallery)), pictures_(pictures), unseen_(std::move(unseen)) {}

std::vector<std::vector<Hit>> Searcher::find(const Queries& queries, const SearchOptions& options) {
  const int64_t n = int64_t(queries.names.size());
  const int64_t wanted = std::max(options.top, options.rerank.value_or(0));
  const auto found = nearest(gallery_->blocks(), r_.model->config().features(), n,
                             queries.features.data(), wanted);
  std::vector<std::vector<Hit>> all(static_cast<size_t>(n));
  for (size_t q = 0; q < all.size(); ++q) {
    std::vector<Hit>& hits = all[q];
    for (const Neighbour& one : found[q])
      hits.push_back({gallery_->record(one.row), one.score, {}});
    if (options.rerank)
      rerank(queries.names[q],
             std::span(hits).first(std::min(hits.size(), size_t(*options.rerank))));
    if (int64_t(hits.size()) > options.top) hits.resize(size_t(options.top));
  }
  return all;
}

void Searcher::rerank(const std::string& query, std::span<Hit> hits) {
  constexpr size_t kChunk = 32;  // pairs a forward pass
  const Batch asked = pictures_ ? text_batch(r_, {&query, 1}) : picture_batch(r_, {&query, 1});
  for (size_t begin = 0; begin < hits.size(); begin += kChunk) {
    const std::span<Hit> some = hits.subspan(begin, std::min(kChunk, hits.size() - begin));
    Dataset candidates;
    std::vector<std::string> texts;
    std::vector<Pairing> pairs;
    for (const Hit& hit : some) {
      const int32_t i = int32_t(pairs.size());
      pairs.push_back(pictures_ ? Pairing{i, 0} : Pairing{0, i});
      candidates.records.push_back(hit.record);
      texts.push_back(caption_of(hit.record));
    }
    std::vector<float> match;
    if (pictures_) {
      candidates.source = "candidates of --rerank";
      // Each was read when it was embedded: that it cannot be read now is an error.
      EvalReader reader(candidates, nullptr, r_.reader_options(0));
      match = matching_scores(*r_.model, reader.images(all_records(candidates)), asked, pairs,
                              r_.arena);
    } else {
      match = matching_scores(*r_.model, asked, text_batch(r_, texts), pairs, r_.arena);
    }
    for (size_t i = 0; i < some.size(); ++i) some[i].match = match[i];
  }
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return *a.match > *b.match; });
}

ordered_json Searcher::to_json(const std::string& query, const std::vector<Hit>& hits) const {
  ordered_json results = ordered_json::array();
  for (const Hit& hit : hits) {
    const Record& record = hit.record;
    ordered_json j;
    if (!record.image.file.empty()) j["image"] = image_name(record.image);
    if (record.image.size > 0) {
      j["archive"] = record.image.file;
      j["offset"] = record.image.offset;
      j["size"] = record.image.size;
    }
    j["caption"] = caption_of(record);
    j["score"] = hit.score;
    if (hit.match) j["match"] = *hit.match;
    if (unseen_) j["trained"] = !is_unseen(record);
    results.push_back(j);
  }
  return {{"query", query}, {"results", results}};
}

void Searcher::print(const std::string& query, const std::vector<Hit>& hits) const {
  fmt::print("\n{}\n", query);
  int rank = 0;
  for (const Hit& hit : hits) {
    fmt::print("  {:>2}  {:6.3f}  {}{}{}  ({})\n", ++rank, hit.score,
               hit.match ? fmt::format("match {:6.3f}  ", *hit.match) : "", caption_of(hit.record),
               is_unseen(hit.record) ? "  [never trained on]" : "",
               hit.record.image.file.empty() ? hit.record.key : image_name(hit.record.image));
  }
}

bool Searcher::is_unseen(const Record& record) const {
  return unseen_ && unseen_->contains(image_identity(record.image));
}

}  // namespace mome
