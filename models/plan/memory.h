// What a training step holds on one GPU, in bytes.
#pragma once
#include <span>

#include "models/plan/shapes.h"

namespace mome {

struct MemoryParts {
  double weights = 0;  // what products read: 16-bit copies; in f32 the masters themselves, so none
  double masters = 0;  // float
  double gradients = 0;    // float; published implementations also hold DDP's buckets
  double moments = 0;      // AdamW's two, float
  double momentum = 0;     // a second model that follows the first
  double activations = 0;  // of the pass that keeps most, with logits
  double scratch = 0;      // beside them inside backward
  double reserve = 0;      // context, communication buffers, libraries' workspaces
  double total() const {
    return weights + masters + gradients + moments + momentum + activations + scratch + reserve;
  }
  double states() const { return weights + masters + gradients + moments + momentum; }
};

/// Of the passes of a micro-batch. With `zero` masters and moments are cut over the ranks (ZeRO-1,
/// Rajbhandari et al. 2020).
MemoryParts memory_of(const PlannedModel& model, std::span<const Work> passes, DType dtype,
                      bool zero, int64_t ranks);

}  // namespace mome
