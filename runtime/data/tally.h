// Counts the records of a source, good and broken, and decides at the end whether the source as a
// whole is good enough. What a record is, it does not know.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mome {

class Tally {
 public:
  /// `split` "" = all. At most max_bad of the records (all splits) may be broken.
  Tally(std::string source, std::string split, double max_bad);

  /// Whether records of that split are asked for.
  bool wants(const std::string& record_split) const;
  /// Counts a record that was read. Returns whether it is of the split asked for; the name of its
  /// split becomes the usual one (Karpathy's "restval" counts as "train").
  bool add(std::string& record_split);
  /// Counts `records` that cannot be used, for the reason told in one line.
  void bad(std::string problem, int64_t records = 1);
  /// Throws Error if too many are broken (the first five problems are named), if there is no
  /// record, or if none is of the split (the splits that there are are named).
  void check() const;

  const std::string& source() const { return source_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  const std::string source_, split_;
  const double max_bad_;
  int64_t total_ = 0, bad_ = 0, kept_ = 0;
  std::map<std::string, int64_t> splits_;  // name -> records, kept or not
  std::vector<std::string> problems_;
};

}  // namespace mome
