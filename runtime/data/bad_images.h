// Counts images that cannot be decoded: each is told once, and too many end the run.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>

#include "runtime/data/record.h"

namespace mome {

/// Receives one line about each image that is skipped.
using LogFunction = std::function<void(const std::string&)>;

struct BadImage {
  int32_t record;
  std::string what;  // the error's text: names the file
};

class BadImages {
 public:
  /// At most max_bad * records may be bad, and never all. `log` may be empty.
  BadImages(const Dataset& dataset, double max_bad, LogFunction log);

  /// Throws Error, naming the first, once there are too many; at every later call too.
  void note(const BadImage& bad);

  int64_t count() const { return int64_t(seen_.size()); }
  int64_t limit() const { return limit_; }  // of distinct bad records

 private:
  const std::string source_;
  const int64_t records_, limit_;
  LogFunction log_;
  std::unordered_set<int32_t> seen_;
  std::string first_;
};

}  // namespace mome
