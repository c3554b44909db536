// Gathers the records of one source: keeps those of the split asked for, counts and names broken
// ones, and decides at the end whether the source as a whole is good enough.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/dataset.h"

namespace mome {

class Collector {
 public:
  Collector(const std::string& source, const std::string& split, const DatasetOptions& options);

  /// A record that was read; `place` ("FILE: line 3") is for the problem it may turn out to be.
  void add(Record record, const std::string& record_split, const std::string& place);
  /// A record that could not be read.
  void bad(std::string problem);
  /// Throws Error as open_dataset promises, else hands over what was gathered.
  Dataset finish();

  const DatasetOptions& options() const { return options_; }

 private:
  std::string split_;
  const DatasetOptions& options_;
  Dataset dataset_;
  int64_t total_ = 0;
  std::map<std::string, int64_t> splits_;  // name -> records, kept or not
};

/// `text` without white space (ASCII) at its ends.
std::string trim(std::string_view text);

}  // namespace mome
