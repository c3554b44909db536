// Training batches of a task, made ahead of time by worker threads. A batch is a pure function of
// (task set, options, step), as PairLoader's.
#pragma once
#include <cstdint>
#include <vector>

#include "runtime/data/loader.h"
#include "runtime/data/order.h"
#include "runtime/data/prefetcher.h"
#include "runtime/data/tasks/task_batch.h"
#include "runtime/data/tasks/task_set.h"
#include "runtime/data/training_images.h"
#include "runtime/text/wordpiece.h"

namespace mome {

/// Sample g of a run (LoaderOptions::global_sample) is that of SampleOrder, anew each epoch; its
/// pictures are augmented anew each epoch, the two of a pair independently. A sample with a picture
/// that cannot be decoded is replaced by the next one whose pictures all can.
class TaskLoader {
 public:
  /// Of the options all but keyword_captions, images and texts count; max_bad is of the pictures.
  /// The set and the tokeniser must outlive the loader; `wordpiece` may be null for a task without
  /// text. Throws Error if there is no sample or one has no target.
  TaskLoader(const TaskSet& set, const WordPiece* wordpiece, const LoaderOptions& options,
             int64_t first_step);

  /// The next step's batch; stays valid until the next call. Throws Error, naming the first, once
  /// more than max_bad of the pictures cannot be decoded, or if no sample is without such a one.
  const TaskBatch& next();

  int64_t bad_images() const { return images_.bad_images(); }
  double waited() { return prefetcher_.waited(); }  // as PairLoader's

 private:
  struct Slot {
    Slot(const LoaderOptions& options, int pictures);

    TaskBatch out;
    std::vector<std::vector<int32_t>> texts;  // [B]
    std::vector<std::vector<BadImage>> bad;   // [B]: pictures tried in vain
  };

  void make(int64_t step, int i, Slot& slot);

  const TaskSet& set_;
  const WordPiece* wordpiece_;
  const LoaderOptions options_;
  SampleOrder order_;
  TrainingImages images_;
  std::vector<Slot> slots_;
  Prefetcher prefetcher_;  // last: its threads use all of the above
};

}  // namespace mome
