#include "runtime/data/collector.h"

#include <algorithm>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/hash.h"

namespace mome {
namespace fs = std::filesystem;

Collector::Collector(const std::string& source, const std::string& split,
                     const DatasetOptions& options)
    : split_(split), options_(options) {
  dataset_.source = source;
}

void Collector::add(Record record, const std::string& record_split, const std::string& place) {
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
  ++total_;
  const std::string name = record_split == "restval" ? "train" : record_split;
  ++splits_[name];
  if (!split_.empty() && name != split_) return;
  record.split = name;
  record.image_id = int64_t(hash64(fmt::format("{}\n{}", record.image.file, record.image.offset)));
  dataset_.records.push_back(std::move(record));
}

void Collector::bad(std::string problem) {
  ++total_;
  dataset_.problems.push_back(std::move(problem));
}

Dataset Collector::finish() {
  const int64_t bad = int64_t(dataset_.problems.size());
  if (double(bad) > options_.max_bad * double(total_)) {
    std::string list;
    for (int64_t i = 0; i < std::min<int64_t>(bad, 5); ++i) list += "\n  " + dataset_.problems[i];
    if (bad > 5) list += fmt::format("\n  and {} more", bad - 5);
    fail("{}: {} of {} records are broken; at most {:g} % may be (max_bad):{}", dataset_.source,
         bad, total_, options_.max_bad * 100, list);
  }
  if (total_ == bad) fail("{}: no record in it; expected at least one", dataset_.source);
  if (dataset_.records.empty()) {
    if (splits_.size() == 1 && splits_.begin()->first.empty()) {
      fail("{}: its records name no split; expected split \"\" (all records), not \"{}\"",
           dataset_.source, split_);
    }
    std::string list;
    for (const auto& [name, count] : splits_) {
      list += fmt::format("{}{} ({} records)", list.empty() ? "" : ", ",
                          name.empty() ? "none" : name, count);
    }
    fail("{}: no record of split \"{}\"; the splits there are: {}", dataset_.source, split_, list);
  }
  return std::move(dataset_);
}

std::string trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

}  // namespace mome
