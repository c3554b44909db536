// Steps of fine-tuning a classifier.
#pragma once
#include "models/evaluation/tasks.h"
#include "models/finetune/config.h"
#include "models/stages/training.h"
#include "runtime/data/tasks/task_loader.h"

namespace mome {

class TaskWork : public TrainingWork {
 public:
  /// `set` outlives it.
  TaskWork(RunParts& run, const FinetuneRecipe& recipe, const ModelConfig& model, const TaskSet& set, int64_t first);
  Metrics step(MomeModel& model, int64_t step) override;
  /// val_acc on `data.val`, if there is one.
  Metrics watch(MomeModel& model) override;
  double waited() override { return loader_.waited(); }

 private:
  RunParts& run_;
  const FinetuneRecipe& recipe_;
  const TaskSet& set_;
  TaskLoader loader_;
  std::optional<TaskSet> val_;
  std::optional<TaskReader> reader_;
};

}  // namespace mome
