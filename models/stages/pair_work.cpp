#include "models/stages/pair_work.h"

namespace mome {

PairWork::PairWork(RunParts& run, const DataConfig& data, const ModelConfig& model, const PairStageConfig& stage, int64_t first)
    : run_(run), stage_(stage), dataset_(run.open(data, data.train, data.train_split, "train")) {
  loader_.emplace(dataset_, &*run.words, run.loader_options(data, model, stage), first);
  if (!data.val.empty()) watch_.emplace(run.open(data, data.val, data.val_split, "val"), *run.words, model, data);
}

Metrics PairWork::step(MomeModel& model, int64_t step) {
  const bool fuse = double(step) >= stage_.fusion_from * double(stage_.steps);
  return pair_step(model, stage_, loader_->next(), *run_.words, fuse, run_.context(step));
}

Metrics PairWork::watch(MomeModel& model) { return watch_ ? watch_->run(model, run_.arena) : Metrics{}; }

}  // namespace mome
