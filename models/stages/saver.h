// Writes resume points in the background: the training thread copies what is to be written and goes on; another thread computes
// checksums, writes, syncs, renames and removes old points. Costs host memory for one copy of the weights, moments and average.
#pragma once
#include <future>
#include <string>

#include "models/stages/resume_point.h"

namespace mome {

/// What a rank's saver knows of the other ranks; as it is, there are none.
struct SaveRanks {
  StateShard shard = {};
  /// On the training thread, by every rank: the text that rank 0 gives, on all.
  std::function<std::string(const std::string& text)> from_first = {};
  /// On the writing thread, by every rank, once a save (write_resume_point). Beside the training's own communication: it needs
  /// one of its own.
  AllAgree all = {};
};

class Saver {
 public:
  Saver(std::string directory, const Keep& keep, SaveRanks ranks = {}) : directory_(std::move(directory)), keep_(keep), ranks_(std::move(ranks)) {}
  /// Waits for the write in flight; its error is lost: wait() tells it.
  ~Saver() = default;
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  /// Waits for the write in flight, copies the point and begins to write it; its id is drawn here. Errors: of the write before.
  void save(const MomeModel& model, ResumePoint point);
  /// The error of a write that has failed, if one has. Does not wait.
  void check();
  /// Until everything is on the disk. Errors: of the write.
  void wait();

 private:
  const std::string directory_;
  const Keep keep_;
  const SaveRanks ranks_;
  Snapshot snapshot_;
  std::future<void> writing_;  // last: its end waits for the thread, which reads the above
};

}  // namespace mome
