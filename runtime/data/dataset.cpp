#include "runtime/data/dataset.h"

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"
#include "runtime/data/shards.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

void read_json(const std::string& file, const std::string& image_root, Collector& out) {
  const std::string text = read_file(file);
  json root;
  try {
    root = parse_json(text, {"tokens", "sentids", "licenses", "segmentation"});
  } catch (const Error& e) {
    fail("{}: {}", file, e.what());
  }
  const auto is_list = [&](const char* name) {
    return root.is_object() && root.contains(name) && root[name].is_array();
  };
  if (is_list("images") && is_list("annotations")) return read_coco(root, file, image_root, out);
  if (is_list("images")) return read_karpathy(root, file, image_root, out);
  fail(
      "{}: neither COCO captions ({{\"images\": [..], \"annotations\": [..]}}) nor Karpathy's "
      "splits "
      "({{\"images\": [{{\"filename\", \"split\", \"sentences\"}}, ..]}})",
      file);
}

// Names every shard file that is not there.
void check_shards(const std::vector<std::string>& sources) {
  std::string missing, names;
  size_t count = 0, all = 0;
  for (const std::string& source : sources) {
    if (!is_shard_source(source)) continue;
    names += (names.empty() ? "" : ", ") + source;
    for (const std::string& shard : expand_shards(source)) {
      ++all;
      std::error_code ignored;
      if (is_piped(shard) || fs::is_regular_file(shard, ignored)) continue;
      ++count;
      missing += "\n  " + shard;
    }
  }
  if (count > 0) fail("{}: {} of {} shards are missing:{}", names, count, all, missing);
}

}  // namespace

Dataset open_dataset(const std::string& source, const std::string& split,
                     const DatasetOptions& options) {
  Collector out(source, split, options);
  const std::string ending = fs::path(source).extension().string();
  std::error_code ignored;
  if (is_shard_source(source)) {
    check_shards({source});
    read_webdataset(source, options, out);
  } else if (!fs::exists(source, ignored)) {
    fail("{}: there is no such file or folder", source);
  } else if (fs::is_directory(source, ignored)) {
    const std::string captions = join_path(source, "captions.jsonl");
    if (fs::exists(captions, ignored)) {
      read_jsonl(captions, options.image_root, out);
    } else {
      read_image_folder(source, out);
    }
  } else if (ending == ".jsonl") {
    read_jsonl(source, options.image_root, out);
  } else if (ending == ".json") {
    read_json(source, options.image_root, out);
  } else {
    fail(
        "{}: not a kind of data set that can be read; expected a folder, .jsonl, .json or .tar "
        "(not compressed)",
        source);
  }
  return out.finish();
}

Dataset open_datasets(const std::vector<std::string>& sources, const std::string& split,
                      const DatasetOptions& options) {
  if (sources.empty()) fail("no data set was named; expected at least one");
  check_shards(sources);
  Dataset all = open_dataset(sources[0], split, options);
  for (size_t i = 1; i < sources.size(); ++i) {
    Dataset next = open_dataset(sources[i], split, options);
    all.source += ", " + next.source;
    std::move(next.records.begin(), next.records.end(), std::back_inserter(all.records));
    std::move(next.problems.begin(), next.problems.end(), std::back_inserter(all.problems));
  }
  return all;
}

}  // namespace mome
