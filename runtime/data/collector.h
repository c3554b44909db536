// Gathers the records of one source: keeps those of the split asked for, and names broken ones.
#pragma once
#include <string>

#include "runtime/data/dataset.h"
#include "runtime/data/tally.h"

namespace mome {

class Collector {
 public:
  Collector(const std::string& source, const std::string& split, const DatasetOptions& options);

  /// A record that was read; `place` ("FILE: line 3") is for the problem it may turn out to be.
  void add(Record record, std::string record_split, const std::string& place);
  /// A record that could not be read.
  void bad(std::string problem) { tally_.bad(std::move(problem)); }
  /// Throws Error as open_dataset promises, else hands over what was gathered.
  Dataset finish();

 private:
  const DatasetOptions& options_;
  Tally tally_;
  Dataset dataset_;
};

}  // namespace mome
