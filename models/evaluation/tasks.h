// How well a fine-tuned model answers: its score on the samples of a task.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/mome/model.h"
#include "runtime/data/tasks/task_reader.h"

namespace mome {

/// Mean score of some samples: accuracy, or of soft targets (VQA) the score of the answers given.
struct TaskScore {
  int64_t samples = 0;
  double mean = 0;
  double low = 0, high = 0;  // 95 % confidence interval (Wilson 1927; scores between 0 and 1 make it wider than need be)
};

struct TaskFigures {
  TaskScore all;
  std::map<std::string, TaskScore> by_kind;  // of the kinds that samples have
  TaskScore majority;                        // of giving every sample the class that scores best in this set
  std::vector<int32_t> predicted;            // [samples of the set] class; -1: a picture could not be read
};

struct TaskEvaluation {
  int64_t batch = 64;  // samples a forward pass
  bool blind = false;  // pictures are plain gray
  std::function<void(int64_t done, int64_t of)> progress = {};
};

/// Samples that are not labelled are predicted and not scored.
TaskFigures evaluate_task(MomeModel& model, const TaskSet& set, TaskReader& reader, const TaskEvaluation& options, Arena& arena);

/// Wilson's interval of a mean score over n samples.
TaskScore task_score(double sum, int64_t samples);

}  // namespace mome
