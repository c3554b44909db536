#include "models/stages/pair_work.h"

#include "models/plan/flops.h"

namespace mome {

PairWork::PairWork(RunParts& run, const DataConfig& data, const ModelConfig& model, const PairStageConfig& stage, int64_t first)
    : run_(run), stage_(stage), dataset_(run.open(data, data.train, data.train_split, "train")) {
  loader_.emplace(dataset_, &*run.words, run.loader_options(data, model, stage), first);
  if (!data.val.empty()) watch_.emplace(run.open(data, data.val, data.val_split, "val"), *run.words, model, data);
}

Metrics PairWork::step(MomeModel& model, int64_t step) {
  fused_ = double(step) >= stage_.fusion_from * double(stage_.steps);
  batch_ = &loader_->next();
  return pair_step(model, stage_, *batch_, *run_.words, fused_, run_.context(step));
}

double PairWork::flops(const MomeModel& model) const {
  return training_flops(model.config(), Stage::kPairs,
                        batch_rows(model.config(), Stage::kPairs, *batch_, stage_.mask_rate, fused_pairs(stage_, *batch_, fused_, run_.world.size)));
}

Metrics PairWork::watch(MomeModel& model) { return watch_ ? watch_->run(model, run_.arena) : Metrics{}; }

}  // namespace mome
