#include "models/finetune/config.h"

namespace mome {

FinetuneRecipe finetune_defaults(Task task) {
  FinetuneRecipe r;
  r.task = task_name(task);
  FinetuneConfig& t = r.training;
  t.batch = 128;
  t.learning_rate = 3e-5;
  t.drop_path = 0.15;
  // Most tasks have a file a split; a Karpathy JSON of pairs has all.
  if (task != Task::kRetrieval) r.data.train_split = r.data.val_split = r.data.test_split = "";
  switch (task) {
    case Task::kVqa: t.head_rate = 20; break;
    case Task::kNlvr2: t.learning_rate = 5e-5, t.drop_path = 0.1; break;
    case Task::kRetrieval: t.batch = 3072, t.steps = 3000, t.drop_path = 0.2; break;
    case Task::kEntailment: break;
    case Task::kImageClassification: t.layer_decay = 0.65, t.learning_rate = 5e-4, t.drop_path = 0.1, t.epochs = 100; break;
  }
  return r;
}

}  // namespace mome
