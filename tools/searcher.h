// One question after another to a gallery: what `mome search` and `mome serve` have in common.
#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "tools/gallery.h"

namespace mome {

struct Hit {
  Record record;
  float score = 0;             // cosine of the features
  std::optional<float> match;  // of the matching head, where it was asked
};

/// Texts or pictures to search for: the texts or the pictures' paths, and their features [names,
/// D].
struct Queries {
  std::vector<std::string> names;
  std::vector<float> features;
};
Queries text_queries(Retriever& r, std::span<const std::string> texts);
/// Error that names the first picture that cannot be read.
Queries picture_queries(Retriever& r, std::span<const std::string> files);

struct SearchOptions {
  int64_t top = 8;                // results a query, at least 1
  std::optional<int64_t> rerank;  // the matching head puts the best so many in order
};

class Searcher {
 public:
  /// `pictures`: what the gallery holds. `unseen`: image_identity of pictures that were never
  /// trained on, or none.
  Searcher(Retriever& r, std::unique_ptr<Gallery> gallery, bool pictures,
           std::optional<std::unordered_set<std::string>> unseen = {});

  /// The hits of each query, best first. Queries are of the other kind than the gallery.
  std::vector<std::vector<Hit>> find(const Queries& queries, const SearchOptions& options);

  nlohmann::ordered_json to_json(const std::string& query, const std::vector<Hit>& hits) const;
  void print(const std::string& query, const std::vector<Hit>& hits) const;
  int64_t rows() const { return gallery_->rows(); }

 private:
  void rerank(const std::string& query, std::span<Hit> hits);
  bool is_unseen(const Record& record) const;

  Retriever& r_;
  std::unique_ptr<Gallery> gallery_;
  const bool pictures_;
  const std::optional<std::unordered_set<std::string>> unseen_;
};

/// Error if the checkpoint cannot rerank.
void require_matching_head(const Retriever& r);

}  // namespace mome
