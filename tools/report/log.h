// A run's log as curves; of a run that has ended, or of one that goes on.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tools/report/chart.h"

namespace mome {

/// The curves of one stage of a run's log.
struct StageCurves {
  std::string stage;
  std::vector<Curve> curves;  // one a numeric field, in the order in which fields first appear
  double last_step = 0;       // of its last line

  const Curve* find(const std::string& name) const;
};

/// Reads a log of JSON lines, each with "stage" (text), "step" and numeric fields. Steps that a
/// resumed run did again replace the earlier ones. A cut last line (the run was killed, or is just
/// now writing it) is passed over; any other bad line throws Error.
class LogReader {
 public:
  explicit LogReader(std::string file) : file_(std::move(file)) {}
  /// Reads the lines that are new since the last call; true if there were any. A log that was cut
  /// (a resumed run) is read again from its beginning. `whole`: a last line without its end counts
  /// as cut even if it reads well. Error if the file cannot be read.
  bool read(bool whole = false);
  const std::vector<StageCurves>& stages() const { return stages_; }
  /// The stage of the last line; null before the first.
  const StageCurves* current() const {
    return current_ < stages_.size() ? &stages_[current_] : nullptr;
  }

 private:
  bool add(const std::string& line);
  bool read_from_here(bool whole);

  std::string file_;
  int64_t offset_ = 0;
  size_t lines_ = 0, current_ = SIZE_MAX;
  std::vector<StageCurves> stages_;
};

/// All of a log at once.
std::vector<StageCurves> read_log(const std::string& file);

}  // namespace mome
