#include "runtime/data/collector.h"

#include <filesystem>
#include <utility>

#include "runtime/core/error.h"

namespace mome {
namespace fs = std::filesystem;

Collector::Collector(const std::string& source, const std::string& split,
                     const DatasetOptions& options)
    : options_(options), tally_(source, split, options.max_bad) {
  dataset_.source = source;
}

void Collector::add(Record record, std::string record_split, const std::string& place) {
  // Ranges of bytes are within a shard that is open already; whole files may be missing.
  if (options_.check_files && record.image.size == 0) {
    std::error_code ignored;
    if (!fs::is_regular_file(record.image.file, ignored)) {
      return bad(fmt::format("{}: there is no image file {}", place, record.image.file));
    }
  }
  if (options_.need_captions && record.captions.empty() && record.keywords.empty()) {
    return bad(
        fmt::format("{}: image {} has no caption; expected at least one", place, record.key));
  }
  if (!tally_.add(record_split)) return;
  record.split = std::move(record_split);
  record.image_id = image_id(record.image);
  dataset_.records.push_back(std::move(record));
}

Dataset Collector::finish() {
  tally_.check();
  dataset_.problems = tally_.problems();
  return std::move(dataset_);
}

}  // namespace mome
