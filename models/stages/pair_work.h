// Steps on image-text pairs: stage 3, and fine-tuning for retrieval.
#pragma once
#include "models/stages/training.h"
#include "models/stages/watch.h"

namespace mome {

class PairWork : public TrainingWork {
 public:
  PairWork(RunParts& run, const DataConfig& data, const ModelConfig& model, const PairStageConfig& stage, int64_t first);
  Metrics step(MomeModel& model, int64_t step) override;
  /// Retrieval on `data.val`, if there is one.
  Metrics watch(MomeModel& model) override;
  double flops(const MomeModel& model) const override;
  double waited() override { return loader_->waited(); }

 private:
  RunParts& run_;
  const PairStageConfig& stage_;
  Dataset dataset_;
  std::optional<PairLoader> loader_;
  std::optional<RetrievalWatch> watch_;
  const Batch* batch_ = nullptr;  // of the last step
  bool fused_ = false;
};

}  // namespace mome
