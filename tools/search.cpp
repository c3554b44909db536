// `mome search`: pictures for words, or words for pictures.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/searcher.h"
#include "tools/unseen.h"

namespace mome {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string checkpoint, vocabulary, data, split, image_root, index, query_file, image_file, json;
  std::vector<std::string> queries, images, unseen;
  SearchOptions search;
  double max_bad = 0.01;

  bool of_pictures() const { return !images.empty() || !image_file.empty(); }
};

void check(const Options& o) {
  if (o.data.empty() == o.index.empty())
    throw UsageError("one of --data and --index is needed, to say what to search");
  if (!o.queries.empty() + !o.query_file.empty() + !o.images.empty() + !o.image_file.empty() != 1)
    throw UsageError(
        "one of these is needed: words to search for, --queries, --image, or --images");
  if (o.search.top < 1) throw UsageError("--top must be at least 1");
  for (const std::string& q : o.queries)
    if (q.find_first_not_of(" \t\r\n") == std::string::npos) throw UsageError("a query is empty");
  if (o.search.rerank && *o.search.rerank < 1)
    throw UsageError(fmt::format("--rerank {}: expected at least 1", *o.search.rerank));
}

std::string line_of(const ordered_json& j, int indent) {
  return j.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Queries read_queries(Retriever& r, const Options& o, std::span<const std::string> names) {
  return o.of_pictures() ? picture_queries(r, names) : text_queries(r, names);
}

// Many queries: a line of JSON for each, to a file or to standard output.
void search_file(Searcher& searcher, Retriever& r, const Options& o) {
  const std::vector<std::string> queries =
      read_text_lines({o.of_pictures() ? o.image_file : o.query_file});
  std::optional<AtomicFile> file;
  if (!o.json.empty()) file.emplace(o.json);
  std::optional<Progress> progress;  // not on a terminal that shows the results
  if (file || !isatty(STDOUT_FILENO)) progress.emplace("searching", int64_t(queries.size()));
  constexpr size_t kChunk = 256;  // queries for which all rows are read once
  for (size_t begin = 0; begin < queries.size(); begin += kChunk) {
    const size_t n = std::min(kChunk, queries.size() - begin);
    const Queries some = read_queries(r, o, std::span(queries).subspan(begin, n));
    const auto found = searcher.find(some, o.search);
    for (size_t i = 0; i < n; ++i) {
      const std::string line = line_of(searcher.to_json(some.names[i], found[i]), -1);
      if (file)
        file->write(line);
      else
        fmt::print("{}", line);
    }
    if (progress) progress->update(int64_t(begin + n));
  }
  if (file) file->commit();
}

void run(const Options& o) {
  check(o);
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  if (o.search.rerank) require_matching_head(*r);
  DatasetOptions d;
  d.image_root = o.image_root;
  d.max_bad = o.max_bad;
  const bool pictures = !o.of_pictures();  // are searched
  std::optional<std::unordered_set<std::string>> unseen;
  if (!o.unseen.empty()) unseen = unseen_pictures(o.unseen, d);
  // Before what may take long: a picture that cannot be read is told at once.
  const Queries queries = read_queries(*r, o, pictures ? o.queries : o.images);
  Searcher searcher(*r,
                    o.index.empty()
                        ? embed_gallery(*r, open_and_tell(o.data, o.split, d), pictures, o.max_bad)
                        : open_gallery(o.index, *r, pictures),
                    pictures, std::move(unseen));
  if (!o.query_file.empty() || !o.image_file.empty()) return search_file(searcher, *r, o);

  ordered_json all = ordered_json::array();
  const auto found = searcher.find(queries, o.search);
  for (size_t i = 0; i < found.size(); ++i) {
    searcher.print(queries.names[i], found[i]);
    all.push_back(searcher.to_json(queries.names[i], found[i]));
  }
  if (!o.json.empty()) write_file_atomic(o.json, line_of(all, 2));
}

}  // namespace

void add_search_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("search", "Find pictures by words, or texts by pictures");
  auto o = std::make_shared<Options>();
  c->add_option("words", o->queries, "words to search for; each argument is a query of its own");
  c->add_option("--queries", o->query_file,
                "text file with a query a line; the results are JSON lines, on standard output or "
                "in the file of --json");
  c->add_option("--image", o->images,
                "a picture to find texts for, instead of words; may be given several times")
      ->allow_extra_args(false);
  c->add_option("--images", o->image_file,
                "text file with the path of a picture a line; otherwise "
                "as --queries");
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--data", o->data,
                "what to search: JSON lines, COCO or Karpathy JSON, a folder, or tar shards "
                "(embedded first)");
  c->add_option("--index", o->index, "what to search: a folder of `mome embed`");
  c->add_option("--split", o->split, "split of --data; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--unseen", o->unseen,
                "SOURCE or SOURCE:SPLIT, a data set whose pictures were never trained on: results "
                "among them are marked; may be given several times")
      ->allow_extra_args(false);
  c->add_option("--top", o->search.top, "results a query")->capture_default_str();
  c->add_option("--rerank", o->search.rerank,
                "let the matching head put the best K in order; those behind them keep theirs");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->add_option("--json", o->json, "file for the results");
  c->callback([o] { run(*o); });
}

}  // namespace mome
