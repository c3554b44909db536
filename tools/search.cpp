// `mome search`: pictures for words, or words for a picture.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "models/evaluation/fusion.h"
#include "runtime/data/read_bytes.h"
#include "runtime/image/decode.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/feature_index.h"
#include "tools/unseen.h"

namespace mome {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string checkpoint, vocabulary, data, split, image_root, index, image, query_file, json;
  std::vector<std::string> queries, unseen;
  int64_t top = 8;
  std::optional<int64_t> rerank;
  double max_bad = 0.01;
};

struct Hit {
  int32_t row;                 // of the features
  float score;                 // cosine of the features
  std::optional<float> match;  // of the matching head, where it was asked
};

void check(const Options& o) {
  if (o.data.empty() == o.index.empty())
    throw UsageError("one of --data and --index is needed, to say what to search");
  if (!o.queries.empty() + !o.image.empty() + !o.query_file.empty() != 1)
    throw UsageError("one of these is needed: words to search for, --queries, or --image");
  if (o.top < 1) throw UsageError("--top must be at least 1");
  for (const std::string& q : o.queries)
    if (q.find_first_not_of(" \t\r\n") == std::string::npos) throw UsageError("a query is empty");
  if (o.rerank && *o.rerank < 1)
    throw UsageError(fmt::format("--rerank {}: expected at least 1", *o.rerank));
  if (o.rerank && !o.image.empty()) throw UsageError("--rerank needs words to search for");
}

DatasetOptions dataset_options(const Options& o) {
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  return d;
}

class Search {
 public:
  Search(const Options& o, Retriever& r)
      : options_(o),
        r_(r),
        pictures_(o.image.empty()),
        unseen_(unseen_pictures(o.unseen, dataset_options(o))),
        index_(open_index()),
        record_(pictures_ ? index_.image_record : index_.text_record),
        features_(pictures_ ? index_.images : index_.texts),
        // Each candidate was read when it was embedded: that it cannot be read now is an error.
        reader_(index_.dataset, &r.words, r.reader_options(0)) {
    if (record_.empty())
      fail("{}: has no {} to search", index_.dataset.source, pictures_ ? "pictures" : "texts");
  }

  /// Best first; of the first K of a text query the order is the matching head's.
  std::vector<Hit> best(const float* query, const Batch* text) {
    const int64_t dim = r_.model->config().features();
    const int64_t wanted = std::max(options_.top, text ? options_.rerank.value_or(0) : 0);
    std::vector<Hit> hits;
    for (const auto& [row, score] :
         nearest(int64_t(record_.size()), dim, features_.data(), query, wanted))
      hits.push_back({row, score, {}});
    if (text && options_.rerank)
      rerank(*text, std::span(hits).first(std::min(hits.size(), size_t(*options_.rerank))));
    if (int64_t(hits.size()) > options_.top) hits.resize(size_t(options_.top));
    return hits;
  }

  ordered_json to_json(const std::string& query, const std::vector<Hit>& hits) const {
    ordered_json results = ordered_json::array();
    for (const Hit& hit : hits) {
      const Record& record = record_of(hit);
      ordered_json j = {{"image", image_name(record.image)}};
      if (record.image.size > 0) {
        j["archive"] = record.image.file;
        j["offset"] = record.image.offset;
        j["size"] = record.image.size;
      }
      j["caption"] = caption_of(record);
      j["score"] = hit.score;
      if (hit.match) j["match"] = *hit.match;
      if (!options_.unseen.empty()) j["trained"] = !is_unseen(record);
      results.push_back(j);
    }
    return {{"query", query}, {"results", results}};
  }

  void print(const std::string& query, const std::vector<Hit>& hits) const {
    fmt::print("\n{}\n", query);
    int rank = 0;
    for (const Hit& hit : hits) {
      const Record& record = record_of(hit);
      fmt::print("  {:>2}  {:6.3f}  {}{}{}  ({})\n", ++rank, hit.score,
                 hit.match ? fmt::format("match {:6.3f}  ", *hit.match) : "", caption_of(record),
                 is_unseen(record) ? "  [never trained on]" : "", image_name(record.image));
    }
  }

 private:
  FeatureIndex open_index() const {
    if (!options_.index.empty()) return load_index(options_.index, r_, pictures_);
    Dataset dataset = open_and_tell(options_.data, options_.split, dataset_options(options_));
    return make_index(r_, std::move(dataset), pictures_, !pictures_, options_.max_bad);
  }

  void rerank(const Batch& text, std::span<Hit> hits) {
    constexpr size_t kChunk = 32;  // pairs a forward pass
    for (size_t begin = 0; begin < hits.size(); begin += kChunk) {
      const std::span<Hit> some = hits.subspan(begin, std::min(kChunk, hits.size() - begin));
      std::vector<int32_t> records;
      std::vector<Pairing> pairs;
      for (const Hit& hit : some) {
        pairs.push_back({int32_t(records.size()), 0});
        records.push_back(record_[size_t(hit.row)]);
      }
      const Batch images = reader_.images(records);
      const auto match = matching_scores(*r_.model, images, text, pairs, r_.arena);
      for (size_t i = 0; i < some.size(); ++i) some[i].match = match[i];
    }
    std::stable_sort(hits.begin(), hits.end(),
                     [](const Hit& a, const Hit& b) { return *a.match > *b.match; });
  }

  const Record& record_of(const Hit& hit) const {
    return index_.dataset.records[size_t(record_[size_t(hit.row)])];
  }
  static const std::string& caption_of(const Record& record) {
    return record.captions.empty() ? record.key : record.captions[0];
  }
  bool is_unseen(const Record& record) const {
    return !unseen_.empty() && unseen_.contains(image_identity(record.image));
  }

  const Options& options_;
  Retriever& r_;
  const bool pictures_;  // are searched, not texts
  const std::unordered_set<std::string> unseen_;
  const FeatureIndex index_;
  const std::vector<int32_t>& record_;
  const std::vector<float>& features_;
  EvalReader reader_;
};

Batch text_batch(const Retriever& r, std::span<const std::string> queries) {
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& query : queries)
    texts.push_back(r.words.encode_text(query, int(r.model->config().text_length)));
  Batch batch;
  batch.size = int(queries.size());
  pack_texts(texts, batch);
  return batch;
}

/// Calls show(query, hits) for each query in order.
template <class Show>
void search_words(Search& search, Retriever& r, const Options& o,
                  const std::vector<std::string>& queries, Show&& show) {
  constexpr size_t kChunk = 64;  // texts a forward pass
  const int64_t dim = r.model->config().features();
  for (size_t begin = 0; begin < queries.size(); begin += kChunk) {
    const auto some = std::span(queries).subspan(begin, std::min(kChunk, queries.size() - begin));
    std::vector<float> features;
    append_text_features(*r.model, text_batch(r, some), r.arena, features);
    for (size_t i = 0; i < some.size(); ++i) {
      const Batch text = o.rerank ? text_batch(r, some.subspan(i, 1)) : Batch{};
      show(some[i], search.best(features.data() + int64_t(i) * dim, &text));
    }
  }
}

std::vector<float> picture_features(Retriever& r, const std::string& file) {
  Dataset one;
  one.source = file;
  one.records.emplace_back();
  one.records[0].image.file = file;
  decode_image(read_bytes(one.records[0].image), file);  // a broken one is an error, not skipped
  EvalReader reader(one, nullptr, r.reader_options(0));
  std::vector<int32_t> kept;
  return image_features(*r.model, reader, all_records(one), r.arena, kept);
}

std::string line_of(const ordered_json& j, int indent) {
  return j.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

// Many queries: a line of JSON for each, to a file or to standard output.
void search_file(Search& search, Retriever& r, const Options& o) {
  const std::vector<std::string> queries = read_text_lines({o.query_file});
  std::optional<AtomicFile> file;
  if (!o.json.empty()) file.emplace(o.json);
  std::optional<Progress> progress;  // not on a terminal that shows the results
  if (file || !isatty(STDOUT_FILENO)) progress.emplace("searching", int64_t(queries.size()));
  int64_t done = 0;
  search_words(search, r, o, queries, [&](const std::string& query, const std::vector<Hit>& hits) {
    const std::string line = line_of(search.to_json(query, hits), -1);
    if (file)
      file->write(line);
    else
      fmt::print("{}", line);
    if (progress) progress->update(++done);
  });
  if (file) file->commit();
}

void run(const Options& o) {
  check(o);
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  if (o.rerank && !r->model->parts().itm)
    fail("{}: has no matching head; --rerank needs one", o.checkpoint);
  std::vector<float> picture;
  if (!o.image.empty()) picture = picture_features(*r, o.image);
  Search search(o, *r);
  if (!o.query_file.empty()) return search_file(search, *r, o);

  ordered_json all = ordered_json::array();
  const auto show = [&](const std::string& query, const std::vector<Hit>& hits) {
    search.print(query, hits);
    all.push_back(search.to_json(query, hits));
  };
  if (o.image.empty())
    search_words(search, *r, o, o.queries, show);
  else
    show(o.image, search.best(picture.data(), nullptr));
  if (!o.json.empty()) write_file_atomic(o.json, line_of(all, 2));
}

}  // namespace

void add_search_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("search", "Find pictures by words, or texts by a picture");
  auto o = std::make_shared<Options>();
  c->add_option("words", o->queries, "words to search for; each argument is a query of its own");
  c->add_option("--queries", o->query_file,
                "text file with a query a line; the results are JSON lines, on standard output or "
                "in the file of --json");
  c->add_option("--image", o->image, "a picture to find texts for, instead of words");
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--data", o->data,
                "what to search: JSON lines, COCO or Karpathy JSON, a folder, or tar shards "
                "(embedded first)");
  c->add_option("--index", o->index, "what to search: a file of `mome embed`");
  c->add_option("--split", o->split, "split of --data; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--unseen", o->unseen,
                "SOURCE or SOURCE:SPLIT, a data set whose pictures were never trained on: results "
                "among them are marked; may be given several times")
      ->allow_extra_args(false);
  c->add_option("--top", o->top, "results a query")->capture_default_str();
  c->add_option("--rerank", o->rerank,
                "let the matching head put the best K in order; those behind them keep theirs");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->add_option("--json", o->json, "file for the results");
  c->callback([o] { run(*o); });
}

}  // namespace mome
