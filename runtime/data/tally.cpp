#include "runtime/data/tally.h"

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

Tally::Tally(std::string source, std::string split, double max_bad)
    : source_(std::move(source)), split_(std::move(split)), max_bad_(max_bad) {}

bool Tally::wants(const std::string& record_split) const {
  return split_.empty() || record_split == split_ ||
         (record_split == "restval" && split_ == "train");
}

bool Tally::add(std::string& record_split) {
  const bool kept = wants(record_split);
  if (record_split == "restval") record_split = "train";
  ++total_;
  ++splits_[record_split];
  kept_ += kept;
  return kept;
}

void Tally::bad(std::string problem, int64_t records) {
  total_ += records;
  bad_ += records;
  problems_.push_back(std::move(problem));
}

void Tally::check() const {
  if (double(bad_) > max_bad_ * double(total_)) {
    const size_t shown = std::min<size_t>(problems_.size(), 5);
    std::string list;
    for (size_t i = 0; i < shown; ++i) list += "\n  " + problems_[i];
    if (shown < problems_.size()) list += fmt::format("\n  and {} more", problems_.size() - shown);
    fail("{}: {} of {} records are broken; at most {:g} % may be (max_bad):{}", source_, bad_,
         total_, max_bad_ * 100, list);
  }
  if (total_ == bad_) fail("{}: no record in it; expected at least one", source_);
  if (kept_ > 0) return;
  if (splits_.size() == 1 && splits_.begin()->first.empty()) {
    fail("{}: its records name no split; expected split \"\" (all records), not \"{}\"", source_,
         split_);
  }
  std::string list;
  for (const auto& [name, count] : splits_) {
    list += fmt::format("{}{} ({} records)", list.empty() ? "" : ", ", name.empty() ? "none" : name,
                        count);
  }
  fail("{}: no record of split \"{}\"; the splits there are: {}", source_, split_, list);
}

}  // namespace mome
