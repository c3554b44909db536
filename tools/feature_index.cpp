#include "tools/feature_index.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "mome-features-1";

ordered_json to_json(const IndexSide& side) {
  ordered_json shards = ordered_json::array();
  for (const ShardInfo& s : side.shards) {
    ordered_json j = {{"features", s.features},
                      {"rows", s.rows},
                      {"records", s.records},
                      {"records_bytes", s.records_bytes},
                      {"skipped", s.skipped}};
    if (s.skipped > 0) j["skipped_records"] = s.skipped_records;
    shards.push_back(j);
  }
  return {{"inputs", side.inputs},
          {"rows", side.rows()},
          {"skipped", side.skipped()},
          {"shards", shards}};
}

// A count of rows or bytes. No product of two of them and an element's size overflows.
int64_t count(const json& j, const char* key, int64_t least = 0, int64_t most = int64_t{1} << 40) {
  const int64_t n = j.at(key);
  if (n < least || n > most) fail("\"{}\" is {}; expected {} … {}", key, n, least, most);
  return n;
}

// The name of a file of this folder: a shard elsewhere is no shard of this index.
std::string file_name(const json& j, const char* key) {
  const std::string name = j.at(key);
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos)
    fail("\"{}\" is \"{}\"; expected the name of a file in this folder", key, name);
  return name;
}

void read_side(const json& all, IndexSide& side, int64_t shard_rows) {
  const auto found = all.find(side.name);
  if (found == all.end()) return;
  side.asked = true;
  side.inputs = count(*found, "inputs");
  for (const json& j : found->at("shards")) {
    ShardInfo s;
    s.features = file_name(j, "features");
    s.records = file_name(j, "records");
    s.rows = count(j, "rows");
    s.records_bytes = count(j, "records_bytes");
    s.skipped = count(j, "skipped");
    if (s.skipped > 0) s.skipped_records = file_name(j, "skipped_records");
    if (s.rows + s.skipped > shard_rows)
      fail("{}: has {} rows; expected at most \"shard_rows\", {}", s.features, s.rows + s.skipped,
           shard_rows);
    side.shards.push_back(std::move(s));
  }
}

template <class T>
T one_of(const json& all, const char* key, const char* a, T if_a, const char* b, T if_b) {
  const std::string value = all.at(key);
  if (value != a && value != b)
    fail("\"{}\" is \"{}\"; expected \"{}\" or \"{}\"", key, value, a, b);
  return value == a ? if_a : if_b;
}

IndexInfo from_json(const json& j) {
  if (!j.is_object() || j.value("format", json()) != kFormat)
    fail("is no index of `mome embed` (\"format\": \"{}\")", kFormat);
  IndexInfo index;
  index.checkpoint = j.at("checkpoint");
  index.fingerprint = j.at("checkpoint_fingerprint");
  index.source = j.at("source");
  index.split = j.at("split");
  index.records = j.at("records_fingerprint");
  index.files =
      one_of(j, "files", "safetensors", FeatureFormat::kSafetensors, "npy", FeatureFormat::kNpy);
  index.dtype = one_of(j, "dtype", "f32", DType::kF32, "f16", DType::kF16);
  index.dim = count(j, "dim", 1, 1 << 20);
  index.shard_rows = count(j, "shard_rows", 1);
  index.complete = j.at("complete");
  read_side(j, index.images, index.shard_rows);
  read_side(j, index.texts, index.shard_rows);
  return index;
}

}  // namespace

int64_t IndexSide::rows() const {
  int64_t n = 0;
  for (const ShardInfo& s : shards) n += s.rows;
  return n;
}

int64_t IndexSide::skipped() const {
  int64_t n = 0;
  for (const ShardInfo& s : shards) n += s.skipped;
  return n;
}

const char* IndexInfo::what() const {
  return images.asked && texts.asked ? "both" : images.asked ? "images" : "texts";
}

int64_t IndexInfo::shard_count(const IndexSide& side) const {
  return chunk_count(side.inputs, shard_rows);
}

std::string in_folder(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

bool has_index(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(in_folder(folder, "index.json"), ignored);
}

IndexInfo read_index(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) fail("{}: there is no such folder", folder);
  if (status.type() == fs::file_type::none) fail("{}: {}", folder, error.message());
  if (!fs::is_directory(status))
    fail("{}: is a file; expected a folder that `mome embed` wrote", folder);
  const std::string path = in_folder(folder, "index.json");
  const auto found = fs::status(path, error);
  if (found.type() == fs::file_type::not_found)
    fail("{}: has no index.json; expected a folder that `mome embed` wrote", folder);
  const std::string text = read_file(path);
  try {
    return from_json(json::parse(text));
  } catch (const json::exception& e) {
    fail("{}: {}", path, e.what());
  } catch (const Error& e) {
    fail("{}: {}", path, e.what());
  }
}

void write_index(const std::string& folder, const IndexInfo& index) {
  ordered_json j = {{"format", kFormat},
                    {"checkpoint", index.checkpoint},
                    {"checkpoint_fingerprint", index.fingerprint},
                    {"source", index.source},
                    {"split", index.split},
                    {"records_fingerprint", index.records},
                    {"what", index.what()},
                    {"files", file_ending(index.files)},
                    {"dtype", dtype_name(index.dtype)},
                    {"dim", index.dim},
                    {"shard_rows", index.shard_rows},
                    {"complete", index.complete}};
  for (const IndexSide* side : {&index.images, &index.texts})
    if (side->asked) j[side->name] = to_json(*side);
  write_file_atomic(in_folder(folder, "index.json"),
                    j.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

ShardInfo name_shard(const IndexInfo& index, const IndexSide& side, int64_t s) {
  const std::string stem = fmt::format("{}-{:05}", side.name, s);
  ShardInfo shard;
  shard.features = fmt::format("{}.{}", stem, file_ending(index.files));
  shard.records = stem + ".jsonl";
  shard.skipped_records = stem + ".skipped.jsonl";
  return shard;
}

std::pair<FeatureFile, RecordFile> open_shard(const std::string& folder, const IndexInfo& index,
                                              const ShardInfo& shard) {
  return {FeatureFile(in_folder(folder, shard.features), index.files, index.dtype, shard.rows,
                      index.dim),
          RecordFile(in_folder(folder, shard.records), shard.rows, shard.records_bytes)};
}

}  // namespace mome
