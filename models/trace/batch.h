// The batch of a trace: in.* of a file, checked against the mode and the model, and packed.
#pragma once
#include <vector>

#include "models/objectives/classify.h"
#include "models/trace/mode.h"

namespace mome {

struct TraceBatch {
  int64_t size = 0;                         // B
  int64_t padded = 0;                       // T
  std::vector<std::vector<double>> images;  // one or two of [B, 3, S, S]
  std::vector<std::vector<int32_t>> texts;  // [B], real tokens
  std::vector<MaskedText> masked;           // [B]
  std::vector<Negatives> negatives;         // of every step, or one of all
  std::vector<Targets> targets;             // [B] classes that are right, with their scores
};

/// Reads what the mode reads. `steps`: negatives may be [steps, B] too. Every Error names the
/// tensor, its shape or the place, and what was expected.
TraceBatch read_batch(const NamedTensors& inputs, const TraceMode& mode, const ModelShape& shape,
                      int64_t steps);

/// The images as patches [k B P, 3 p^2] in `dtype`, in the arena: first images, then second ones.
Tensor trace_patches(const TraceBatch& batch, const ModelConfig& config, DType dtype, Arena& arena);

}  // namespace mome
