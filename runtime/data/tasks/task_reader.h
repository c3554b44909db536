// Batches of a task for evaluation: the samples that the caller names, without augmentation.
#pragma once
#include <cstdint>
#include <span>

#include "runtime/data/eval_reader.h"
#include "runtime/data/tasks/task_batch.h"
#include "runtime/data/tasks/task_set.h"
#include "runtime/text/wordpiece.h"

namespace mome {

class TaskReader {
 public:
  /// The set and the tokeniser must outlive the reader; `wordpiece` may be null for a task without
  /// text.
  TaskReader(const TaskSet& set, const WordPiece* wordpiece, const EvalOptions& options);

  /// The samples in the order given, without those that have a picture that cannot be decoded:
  /// TaskBatch::samples says which are there, and the batch may be empty. Throws Error once more
  /// than max_bad of the set's pictures cannot be decoded.
  TaskBatch read(std::span<const int32_t> samples);

 private:
  const TaskSet& set_;
  const WordPiece* wordpiece_;
  const EvalOptions options_;
  EvalReader reader_;
};

}  // namespace mome
