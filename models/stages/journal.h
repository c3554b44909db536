// What a run tells while it goes: log.jsonl, TensorBoard's files and the line on the screen, from one step on.
#pragma once
#include <nlohmann/json.hpp>

#include "models/stages/training.h"
#include "runtime/log/progress.h"
#include "runtime/log/run_log.h"
#include "runtime/log/tensorboard.h"

namespace mome {

class Journal {
 public:
  /// What the logs hold of step `first` and later ones is cut off: those steps are taken (again).
  Journal(const RunConfig& config, const Training& training, int64_t first);

  void note(const std::string& line) { progress_.note(line); }
  /// Step number `step` is done.
  void done(int64_t step, const Metrics& metrics);
  void write(int64_t step, const Metrics& metrics);
  /// A line of the log alone: {"step", "stage", "stage_step", KEY: VALUE}.
  void event(int64_t step, const char* key, const nlohmann::ordered_json& value);
  void finish() { progress_.finish(); }

 private:
  nlohmann::ordered_json fields(int64_t step) const;

  const Training& t_;
  RunLog log_;
  TensorBoardLog board_;
  Progress progress_;
};

/// "loss 2.31  itc 1.2".
std::string short_text(const Metrics& metrics);

}  // namespace mome
