#include "models/plan/memory.h"

#include <algorithm>

namespace mome {

// CUDA's context, NCCL's channels and cuBLAS's workspaces: assumed, as nvidia-smi shows it for an
// idle rank.
constexpr double kReserve = 1.5 * 1024 * 1024 * 1024;

MemoryParts memory_of(const PlannedModel& model, std::span<const Work> passes, DType dtype,
                      bool zero, int64_t ranks) {
  MemoryParts m;
  const bool official = model.implementation == Implementation::kOfficial;
  const double cut = zero ? double(ranks) : 1;
  m.weights = dtype == DType::kF32 ? 0 : 2 * model.parameters;
  // In f32 products read the masters: cutting them leaves the whole ones in place.
  m.masters = 4 * model.parameters / (dtype == DType::kF32 ? 1 : cut);
  m.gradients = (official ? 8 : 4) * model.trained;
  m.moments = 8 * model.trained / cut;
  m.momentum = 4 * model.momentum_copies;
  for (const Work& w : passes) {
    if (w.saved + w.scratch > m.activations + m.scratch)
      m.activations = w.saved, m.scratch = w.scratch;
  }
  m.reserve = kReserve;
  return m;
}

}  // namespace mome
