#include "models/finetune/task_work.h"

#include "models/finetune/finetune.h"
#include "models/objectives/classify.h"

namespace mome {

TaskWork::TaskWork(RunParts& run, const FinetuneRecipe& recipe, const ModelConfig& model, const TaskSet& set, int64_t first)
    : run_(run),
      recipe_(recipe),
      set_(set),
      loader_(set, run.words ? &*run.words : nullptr, run.loader_options(recipe.data, model, recipe.training), first) {
  const DataConfig& data = recipe.data;
  if (data.val.empty()) return;
  TaskOptions o;
  o.image_root = data.image_root;
  o.max_bad = data.max_bad;
  o.classes = set.classes;
  o.labels_needed = false;
  val_ = open_task(set.task, split_sources(data.val), data.val_split, o);
  EvalOptions options;
  options.image_size = int(model.image_size);
  options.text_length = int(model.text_length);
  options.max_bad = data.max_bad;
  options.cache_mib = data.cache_mib;
  options.log = [&run](const std::string& line) { run.note(line); };
  reader_.emplace(*val_, run.words ? &*run.words : nullptr, options);
}

Metrics TaskWork::step(MomeModel& model, int64_t step) {
  const TaskBatch& batch = loader_.next();
  TaskInputs inputs{set_.task, &batch.batch, task_patches(model, batch.batch, recipe_.blind, run_.arena), &batch.targets};
  const Metrics metrics = classify_losses(model, recipe_.training, inputs, run_.context(step));
  run_.arena.release(inputs.patches.data);
  return metrics;
}

Metrics TaskWork::watch(MomeModel& model) {
  Metrics metrics;
  if (!val_) return metrics;
  TaskEvaluation options;
  options.blind = recipe_.blind;
  metrics.add("val_acc", evaluate_task(model, *val_, *reader_, options, run_.arena).all.mean);
  return metrics;
}

}  // namespace mome
