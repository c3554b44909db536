// Retrieval on held-out pairs while a run goes on: the same figures that `mome evaluate` gives, in short.
#pragma once
#include "models/objectives/objectives.h"
#include "models/stages/config.h"
#include "runtime/data/eval_reader.h"

namespace mome {

class RetrievalWatch {
 public:
  RetrievalWatch(Dataset dataset, const WordPiece& words, const ModelConfig& model, const DataConfig& data);
  /// val_t2i_r1, val_t2i_r10, val_i2t_r1, val_i2t_r10.
  Metrics run(MomeModel& model, Arena& arena);

 private:
  Dataset dataset_;
  EvalReader reader_;
};

}  // namespace mome
