// One shard of a feature index: a file of features and a file of the records that they belong to,
// line by line. Both are mapped when they are read.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/evaluation/nearest.h"
#include "runtime/data/record.h"
#include "runtime/io/mapped_file.h"

namespace mome {

enum class FeatureFormat { kSafetensors, kNpy };

const char* file_ending(FeatureFormat format);  // "safetensors", "npy"
const char* dtype_name(DType dtype);            // "f32", "f16"

/// Writes features [rows, dim], atomically: as the tensor "features" of a safetensors file, or as a
/// numpy array (format version 1.0 of numpy.lib.format). dtype: f32, or f16, rounded to nearest.
void write_features(const std::string& path, FeatureFormat format, DType dtype, int64_t dim,
                    std::span<const float> values);

/// Such a file, mapped.
class FeatureFile {
 public:
  /// Error unless the file holds exactly `rows` features of width `dim` in this dtype.
  FeatureFile(const std::string& path, FeatureFormat format, DType dtype, int64_t rows,
              int64_t dim);

  const FeatureBlock& block() const { return block_; }

 private:
  std::shared_ptr<const void> owner_;
  FeatureBlock block_;
};

/// A line of JSON without its end: {"record": number in the data set, "key", "image": absolute path
/// or nothing, "member", "offset", "size" of a member of an archive, "captions"}.
std::string record_line(const Record& record, int64_t number);

struct NumberedRecord {
  int64_t number = 0;  // in the data set
  Record record;
};

/// A file of such lines, mapped.
class RecordFile {
 public:
  /// Error if the file has another size. Its lines are looked for when the first is asked for.
  RecordFile(const std::string& path, int64_t rows, int64_t bytes);

  /// Errors: the file has another number of lines than rows; a line that is no record.
  NumberedRecord read(int64_t row) const;

 private:
  std::string path_;
  int64_t rows_;
  std::optional<MappedFile> file_;  // none if it is empty
  mutable std::vector<const char*> lines_;
};

}  // namespace mome
