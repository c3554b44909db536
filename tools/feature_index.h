// The index of a folder of features: index.json, which says what `mome embed` was asked for and
// which shards are whole. It is written anew, atomically, after every shard.
//
//   {"format": "mome-features-1", "checkpoint", "checkpoint_fingerprint", "source", "split",
//    "records_fingerprint", "what": "images", "texts" or "both", "files": "safetensors" or "npy",
//    "dtype": "f32" or "f16", "dim": D, "shard_rows": R, "complete": whether all shards are there,
//    "images": {"inputs": how many there are to embed, "rows", "skipped",
//               "shards": [{"features": file, "rows", "records": file, "records_bytes",
//                           "skipped": broken pictures, "skipped_records": file, if any}, ..]},
//    "texts": likewise}
//
// Shard s holds what could be read of inputs s R … (s + 1) R - 1: its rows are R less the skipped.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tools/feature_shard.h"

namespace mome {

struct ShardInfo {
  std::string features, records, skipped_records;  // names of files within the folder
  int64_t rows = 0, records_bytes = 0, skipped = 0;
};

struct IndexSide {
  std::string name;  // "images" or "texts"
  bool asked = false;
  int64_t inputs = 0;
  std::vector<ShardInfo> shards;  // those that are whole

  int64_t rows() const;
  int64_t skipped() const;
};

struct IndexInfo {
  std::string checkpoint, fingerprint, source, split;
  std::string records;  // fingerprint of the data set's records
  FeatureFormat files = FeatureFormat::kSafetensors;
  DType dtype = DType::kF32;
  int64_t dim = 0, shard_rows = 0;
  bool complete = false;
  IndexSide images{"images", false, 0, {}}, texts{"texts", false, 0, {}};

  IndexSide& side(bool of_images) { return of_images ? images : texts; }
  const IndexSide& side(bool of_images) const { return of_images ? images : texts; }
  /// "images", "texts" or "both".
  const char* what() const;
  int64_t shard_count(const IndexSide& side) const;  // when it is complete
};

/// Whether the folder has an index.json.
bool has_index(const std::string& folder);
/// Errors name the folder or index.json and what is wrong with it.
IndexInfo read_index(const std::string& folder);
void write_index(const std::string& folder, const IndexInfo& index);

/// Names of the files of shard number s.
ShardInfo name_shard(const IndexInfo& index, const IndexSide& side, int64_t s);

/// Opens a shard's files. Error that names the file that is missing, cut short or of another shape.
std::pair<FeatureFile, RecordFile> open_shard(const std::string& folder, const IndexInfo& index,
                                              const ShardInfo& shard);

std::string in_folder(const std::string& folder, const std::string& name);

}  // namespace mome
