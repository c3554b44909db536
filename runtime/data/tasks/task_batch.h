// A batch of samples of a task, for training (TaskLoader) and evaluation (TaskReader).
#pragma once
#include <cstdint>
#include <vector>

#include "runtime/data/batch.h"
#include "runtime/data/tasks/task_set.h"

namespace mome {

struct TaskBatch {
  int pictures = 1;  // k, pictures of a sample
  /// size = B samples. images [k * B, S, S, 3]: picture j of sample b at index j * B + b, so that
  /// each half of a batch of pairs is a batch of its own. tokens, text_begin [B+1] and caption_ids
  /// [B]: the texts; all empty for a task without. image_ids and records (of TaskSet::pictures)
  /// [B]: the first pictures.
  Batch batch;
  std::vector<Targets> targets;  // [B]
  std::vector<int32_t> samples;  // [B]: which of TaskSet::samples it is
};

}  // namespace mome
