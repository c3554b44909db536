// `mome search`: pictures for words, or words for a picture.
#include <CLI/CLI.hpp>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "models/evaluation/fusion.h"
#include "runtime/data/dataset.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"
#include "tools/commands.h"
#include "tools/retriever.h"

namespace mome {
namespace {

struct Options {
  std::string checkpoint, vocabulary, data, split, image_root, index, unseen, image, json;
  std::vector<std::string> queries;
  int64_t top = 8, rerank = 0;
  double max_bad = 0.01;
};

// What is searched: features of pictures and of texts, and the records that they belong to.
struct Gallery {
  Dataset dataset;
  std::vector<float> images, texts;
  std::vector<int32_t> image_record, text_record;
};

Dataset open(const std::string& source, const std::string& split, const Options& o) {
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  return open_dataset(source, split, d);
}

// Copies tensor `name` [n, dim] or [n] of an index.
template <class T>
std::vector<T> column(const SafeTensors& file, const std::string& path, const char* name,
                      const char* dtype, int64_t dim) {
  const auto* t = file.find(name);
  if (!t) fail("{}: has no tensor \"{}\"; run `mome embed` with --what both", path, name);
  if (t->dtype != dtype || (dim > 0 && (t->shape.size() != 2 || t->shape[1] != dim)))
    fail("{}: tensor \"{}\" is {} [{}]; this checkpoint makes {} features of {} values", path, name,
         t->dtype, fmt::join(t->shape, ", "), dtype, dim);
  std::vector<T> out(size_t(t->elements));
  std::memcpy(out.data(), t->data, t->bytes);
  return out;
}

Gallery open_index(const Options& o, int64_t dim, bool want_images) {
  const SafeTensors file(o.index);
  Gallery g;
  g.dataset.source = o.index;
  const auto it = file.metadata().find("records");
  if (it == file.metadata().end())
    fail("{}: its metadata names no records; expected a file of `mome embed`", o.index);
  try {
    for (const auto& j : nlohmann::json::parse(it->second)) {
      Record r;
      r.key = j.at("key");
      r.image.file = j.at("image");
      r.captions = j.at("captions").get<std::vector<std::string>>();
      g.dataset.records.push_back(r);
    }
  } catch (const nlohmann::json::exception& e) {
    fail("{}: metadata \"records\": {}", o.index, e.what());
  }
  std::vector<int64_t> record;
  if (want_images) {
    g.images = column<float>(file, o.index, "image_features", "F32", dim);
    record = column<int64_t>(file, o.index, "image_record", "I64", 0);
  } else {
    g.texts = column<float>(file, o.index, "text_features", "F32", dim);
    record = column<int64_t>(file, o.index, "text_record", "I64", 0);
  }
  if (int64_t(record.size()) * dim != int64_t(want_images ? g.images.size() : g.texts.size()))
    fail("{}: features and records differ in number", o.index);
  for (int64_t r : record) {
    if (r < 0 || r >= int64_t(g.dataset.records.size()))
      fail("{}: names record {} of {}", o.index, r, g.dataset.records.size());
    (want_images ? g.image_record : g.text_record).push_back(int32_t(r));
  }
  return g;
}

Gallery embed(Retriever& r, const Options& o, bool want_images) {
  Gallery g;
  g.dataset = open(o.data, o.split, o);
  EvalReader reader(g.dataset, &r.words, r.reader_options(o.max_bad));
  if (want_images) {
    g.images = image_features(*r.model, reader, all_records(g.dataset), r.arena, g.image_record);
  } else {
    const std::vector<TextRef> refs = all_captions(g.dataset);
    g.texts = text_features(*r.model, reader, refs, r.arena);
    for (const TextRef& t : refs) g.text_record.push_back(t.record);
  }
  return g;
}

// Re-ranks the candidates of a text query by the matching head.
void rerank(Retriever& r, const Dataset& pictures, const Batch& text,
            std::vector<std::pair<int32_t, float>>& found, const Gallery& g, double max_bad) {
  EvalReader reader(pictures, &r.words, r.reader_options(max_bad));
  std::vector<int32_t> records;
  for (const auto& [i, score] : found) records.push_back(g.image_record[size_t(i)]);
  const Batch images = reader.images(records);
  MOME_CHECK(images.size == int(records.size()));
  std::vector<Pairing> pairs;
  for (int32_t i = 0; i < images.size; ++i) pairs.push_back({i, 0});
  const std::vector<float> match = matching_scores(*r.model, images, text, pairs, r.arena);
  for (size_t i = 0; i < found.size(); ++i) found[i].second = match[i];
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
}

Batch text_batch(const Retriever& r, const std::string& query) {
  Batch b;
  b.size = 1;
  pack_texts({r.words.encode_text(query, int(r.model->config().text_length))}, b);
  return b;
}

void run(const Options& o) {
  if (o.data.empty() == o.index.empty())
    throw UsageError("one of --data and --index is needed, to say what to search");
  if (o.queries.empty() == o.image.empty())
    throw UsageError("either words to search for, or --image, is needed");
  if (o.top < 1) throw UsageError("--top must be at least 1");
  for (const std::string& q : o.queries)
    if (q.find_first_not_of(" \t\r\n") == std::string::npos) throw UsageError("a query is empty");
  if (o.rerank > 0 && (!o.image.empty() || o.data.empty()))
    throw UsageError("--rerank needs words to search for, and --data");
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  if (o.rerank > 0 && !r->model->parts().itm)
    fail("{}: has no matching head; --rerank needs one", o.checkpoint);
  const int64_t dim = r->model->config().features();
  const bool want_images = o.image.empty();
  const Gallery g = o.index.empty() ? embed(*r, o, want_images) : open_index(o, dim, want_images);
  const std::vector<int32_t>& record = want_images ? g.image_record : g.text_record;
  const std::vector<float>& features = want_images ? g.images : g.texts;
  if (record.empty())
    fail("{}: has no {} to search", g.dataset.source, want_images ? "pictures" : "texts");

  std::set<std::string> unseen;
  if (!o.unseen.empty())
    for (const Record& u : open(o.unseen, "", o).records)
      unseen.insert(std::filesystem::weakly_canonical(u.image.file).string());

  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  const auto show = [&](const std::string& query,
                        const std::vector<std::pair<int32_t, float>>& found) {
    fmt::print("\n{}\n", query);
    nlohmann::ordered_json results = nlohmann::ordered_json::array();
    int rank = 0;
    for (const auto& [i, score] : found) {
      const Record& hit = g.dataset.records[size_t(record[size_t(i)])];
      const std::string image = std::filesystem::weakly_canonical(hit.image.file).string();
      const bool trained = !unseen.count(image);
      const std::string caption = hit.captions.empty() ? hit.key : hit.captions[0];
      fmt::print("  {:>2}  {:6.3f}  {}{}  ({})\n", ++rank, score, caption,
                 trained ? "" : "  [never trained on]", hit.image.file);
      results.push_back({{"image", hit.image.file},
                         {"caption", caption},
                         {"score", score},
                         {"trained", trained}});
    }
    all.push_back({{"query", query}, {"results", results}});
  };

  if (want_images) {
    for (const std::string& query : o.queries) {
      std::vector<float> f;
      const Batch text = text_batch(*r, query);
      append_text_features(*r->model, text, r->arena, f);
      auto found = nearest(int64_t(record.size()), dim, features.data(), f.data(),
                           std::max(o.top, o.rerank));
      if (o.rerank > 0) rerank(*r, g.dataset, text, found, g, o.max_bad);
      if (int64_t(found.size()) > o.top) found.resize(size_t(o.top));
      show(query, found);
    }
  } else {
    Dataset one;
    one.source = o.image;
    Record picture;
    picture.key = o.image;
    picture.image.file = o.image;
    one.records = {picture};
    EvalReader reader(one, nullptr, r->reader_options(0));
    std::vector<int32_t> kept;
    const std::vector<float> f =
        image_features(*r->model, reader, all_records(one), r->arena, kept);
    show(o.image, nearest(int64_t(record.size()), dim, features.data(), f.data(), o.top));
  }
  if (!o.json.empty())
    write_file_atomic(o.json,
                      all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace

void add_search_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("search", "Find pictures by words, or texts by a picture");
  auto o = std::make_shared<Options>();
  c->add_option("queries", o->queries, "words to search for; each argument is a query of its own");
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
                "data set whose pictures were never trained on: results among them are marked");
  c->add_option("--top", o->top, "results a query")->capture_default_str();
  c->add_option("--rerank", o->rerank, "let the matching head put the best K in order; 0: off")
      ->capture_default_str();
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->add_option("--json", o->json, "file for the results");
  c->callback([o] { run(*o); });
}

}  // namespace mome
