#include "tools/unseen.h"

#include <filesystem>
#include <set>

#include "runtime/core/error.h"
#include "runtime/data/shards.h"

namespace mome {
namespace {

// Cuts ":SPLIT" off a source; a file whose own name has a colon stays whole.
std::string take_split(std::string& source) {
  std::error_code ignored;
  const size_t colon = source.rfind(':');
  if (colon == std::string::npos || is_shard_source(source) ||
      std::filesystem::exists(source, ignored))
    return {};
  const std::string split = source.substr(colon + 1);
  if (split.find('/') != std::string::npos) return {};
  if (split.empty()) throw UsageError(fmt::format("--unseen {}: no split after the colon", source));
  source.resize(colon);
  return split;
}

}  // namespace

std::unordered_set<std::string> unseen_pictures(const std::vector<std::string>& sources,
                                                const DatasetOptions& options) {
  std::unordered_set<std::string> pictures;
  for (std::string source : sources) {
    const std::string split = take_split(source);
    std::set<std::string> splits;
    for (const Record& record : open_dataset(source, split, options).records) {
      pictures.insert(image_identity(record.image));
      splits.insert(record.split.empty() ? "(none)" : record.split);
    }
    if (splits.size() > 1)
      throw UsageError(
          fmt::format("--unseen {}: has the splits {}; say which of them was never trained on, as "
                      "in --unseen {}:test",
                      source, fmt::join(splits, ", "), source));
  }
  return pictures;
}

}  // namespace mome
