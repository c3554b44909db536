// `mome serve`: requests as JSON lines on standard input, answers as JSON lines on standard output.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/data/json_fields.h"
#include "tools/commands.h"
#include "tools/feature_index.h"
#include "tools/searcher.h"

namespace mome {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kRequest =
    R"({"text": ".."} or {"image": "path"}, optionally with "top", "rerank", "id"; or )"
    R"({"embed": {"text": ".."}} or {"embed": {"image": "path"}})";

struct Options {
  std::string checkpoint, vocabulary, index;
  int64_t top = 8;
};

void allow_keys(const json& object, std::initializer_list<std::string_view> allowed) {
  for (const auto& [key, value] : object.items())
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
      fail("\"{}\" is unknown; expected {}", key, fmt::join(allowed, ", "));
}

// Copying and writing a value recurse: what nests without end would end the program.
json parse_request(const std::string& line) {
  static constexpr int kMostNested = 64;
  return json::parse(line, [](int depth, json::parse_event_t, json&) {
    if (depth > kMostNested) fail("nested more than {} deep", kMostNested);
    return true;
  });
}

int64_t positive(const json& value, const char* key) {
  const int64_t n = value.is_number_integer() ? value.get<int64_t>() : 0;
  if (n < 1) fail("\"{}\" is {}; expected an integer of at least 1", key, value.dump());
  return n;
}

// A float in as few digits as tell it from its neighbours; as a double it would have seventeen.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

struct Asked {
  bool picture;
  std::string name;  // the text or the path
};

class Server {
 public:
  Server(const Options& o, Retriever& r) : index_(o.index), top_(o.top), r_(r) {
    if (index_.empty()) return;
    const IndexInfo info = read_index(index_);
    // An error now is better than one a request.
    for (const bool pictures : {true, false})
      if (info.side(pictures).rows() > 0) searcher(pictures);
    if (!searchers_[0] && !searchers_[1]) fail("{}: has nothing to search", index_);
  }

  /// What is there, for people.
  std::string description() const {
    return index_.empty()
               ? "features only (no --index)"
               : fmt::format("{} pictures, {} texts of {}", rows(true), rows(false), index_);
  }

  /// The answer to one line. Nothing that a request holds ends the loop.
  ordered_json answer(const std::string& line) {
    ordered_json out;
    try {
      const json request = parse_request(line);
      if (!request.is_object()) fail("expected an object: {}", kRequest);
      if (request.contains("id")) out["id"] = request["id"];
      answer(request, out);
    } catch (const std::bad_alloc&) {
      out["error"] = "out of memory";
    } catch (const nlohmann::json::exception& e) {
      out["error"] = json_message(e.what());
    } catch (const std::exception& e) {
      out["error"] = e.what();
    }
    return out;
  }

 private:
  void answer(const json& request, ordered_json& out) {
    if (const auto embed = request.find("embed"); embed != request.end()) {
      allow_keys(request, {"embed", "id"});
      if (!embed->is_object()) fail("\"embed\": expected an object: {}", kRequest);
      allow_keys(*embed, {"text", "image"});
      std::vector<double> feature;
      for (const float v : read(asked(*embed)).features) feature.push_back(shortest(v));
      out["feature"] = feature;
      return;
    }
    allow_keys(request, {"text", "image", "top", "rerank", "id"});
    SearchOptions options;
    options.top = request.contains("top") ? positive(request["top"], "top") : top_;
    if (request.contains("rerank")) {
      options.rerank = positive(request["rerank"], "rerank");
      require_matching_head(r_);
    }
    const Asked query = asked(request);
    Searcher& in = searcher(!query.picture);
    const auto hits = in.find(read(query), options);
    const ordered_json found = in.to_json(query.name, hits[0]);
    for (const auto& [key, value] : found.items()) out[key] = value;
  }

  static Asked asked(const json& j) {
    const bool picture = j.contains("image");
    if (picture == j.contains("text")) fail("expected one of \"text\" and \"image\": {}", kRequest);
    const char* key = picture ? "image" : "text";
    if (!j[key].is_string()) fail("\"{}\" is {}; expected a string", key, j[key].dump());
    const std::string name = j[key];
    if (name.find_first_not_of(" \t\r\n") == std::string::npos) fail("\"{}\" is empty", key);
    return {picture, name};
  }

  Queries read(const Asked& query) {
    return query.picture ? picture_queries(r_, {&query.name, 1})
                         : text_queries(r_, {&query.name, 1});
  }

  Searcher& searcher(bool pictures) {
    auto& s = searchers_[pictures];
    if (index_.empty()) fail("there is no index to search; run `mome serve` with --index");
    if (!s) s.emplace(r_, open_gallery(index_, r_, pictures), pictures);
    return *s;
  }
  int64_t rows(bool pictures) const {
    return searchers_[pictures] ? searchers_[pictures]->rows() : 0;
  }

  const std::string index_;
  const int64_t top_;
  Retriever& r_;
  std::optional<Searcher> searchers_[2];  // of texts, of pictures
};

void run(const Options& o) {
  const auto r = open_retriever(o.checkpoint, o.vocabulary);
  Server server(o, *r);
  fmt::print(stderr, "serving {}\n", server.description());
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    fmt::print("{}\n", server.answer(line).dump(-1, ' ', false, json::error_handler_t::replace));
    if (std::fflush(stdout) != 0) return;  // main() says why
  }
}

}  // namespace

void add_serve_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("serve", "Answer searches and make features for a script, line by line");
  c->footer(fmt::format(
      "Reads a JSON object a line from standard input until its end: {}. Answers each with a line: "
      "{{\"id\", \"query\", \"results\"}} or {{\"id\", \"feature\"}}; or {{\"id\", \"error\"}}, "
      "and "
      "goes on.",
      kRequest));
  auto o = std::make_shared<Options>();
  c->add_option("--checkpoint", o->checkpoint, "stage 3's .safetensors")->required();
  c->add_option("--index", o->index,
                "what to search: a folder of `mome embed`; without it, features only");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--top", o->top, "results a query, where a request does not say")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
