// The steps of a trace, which share a model on a device and a batch. Internal to models/trace.
#pragma once
#include <memory>

#include "models/objectives/objectives.h"
#include "models/trace/batch.h"
#include "models/trace/output.h"
#include "models/trace/trace.h"

namespace mome {

/// `inputs`: whose param.* must all have a place. Errors name the parameter.
std::unique_ptr<MomeModel> open_model(const NamedTensors& checkpoint, const ModelShape& shape,
                                      const NamedTensors& inputs, DType dtype, Device& device);

struct TraceRun {
  const TraceMode& mode;
  const TraceOptions& options;
  const TraceBatch& batch;
  MomeModel& model;
  Arena& arena;
  Tensor patches;  // as trace_patches made them
  TraceOutput& out;
};

/// out.* but for losses, by an evaluation pass over every real token.
void write_activations(const TraceRun& run);

/// Loss, and with `train` gradients, of step `step` (which chooses among negatives).
Metrics objective(const TraceRun& run, int64_t step, bool train, const void* loss_scale = nullptr);
/// Which parameters the mode trains, and which decay.
void apply_mode_rules(const TraceRun& run);
/// out.loss and its terms; with options.gradients also grad.*
void write_losses(const TraceRun& run);
/// out.loss [N], out.lr [N], param.* after N steps.
void write_steps(const TraceRun& run);

}  // namespace mome
