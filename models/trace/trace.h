// One batch through a checkpoint, and everything out: activations, losses, gradients, or the
// parameters after some optimiser steps. The losses are those of models/objectives, the code that
// trains; dropout and drop path are off, and nothing is drawn.
#pragma once
#include <string>

#include "models/checkpoints/tensors.h"
#include "models/trace/mode.h"

namespace mome {

/// What the shapes of a checkpoint cannot say; 0: they do.
struct TraceModelConfig {
  int64_t heads = 0, text_length = 0;
};
template <class V>
void visit(V& v, TraceModelConfig& c) {
  v("heads", c.heads, "attention heads, where there is no relative table");
  v("text_length", c.text_length, "longest text, where there is no table of text positions");
}

/// AdamW as published (specification, section 4), at a constant rate.
struct TraceOptimiserConfig {
  double lr = 2e-4, beta1 = 0.9, beta2 = 0.98, eps = 1e-8, weight_decay = 0.01, clip = 0;
  int64_t warmup = 0, steps = 0;
  std::string schedule = "constant";
};
template <class V>
void visit(V& v, TraceOptimiserConfig& c) {
  v("lr", c.lr, "peak learning rate");
  v("beta1", c.beta1, "AdamW");
  v("beta2", c.beta2, "AdamW");
  v("eps", c.eps, "AdamW; added to the root of the uncorrected second moment");
  v("weight_decay", c.weight_decay, "AdamW, applied to the updated weights");
  v("clip", c.clip, "largest gradient norm; 0: no clipping");
  v("warmup", c.warmup, "steps of linear warm-up from 0");
  v("steps", c.steps, "length of the schedule; 0: the steps that are taken");
  v("schedule", c.schedule, "\"constant\", \"linear\" or \"cosine\"");
}

struct TraceConfig {
  TraceModelConfig model;
  TraceOptimiserConfig optimiser;
};
template <class V>
void visit(V& v, TraceConfig& c) {
  v.table("model", c.model);
  v.table("optimiser", c.optimiser);
}

struct TraceOptions {
  std::string mode;
  bool gradients = false;     ///< also grad.<name> of out.loss
  int64_t steps = 0;          ///< optimiser steps; above 0 their result is all that comes out
  bool as_published = false;  ///< the official list of parameters that do not decay
  std::string device = "cpu";
  std::string dtype = "f32";  ///< f32; f64 on the cpu; f16 or bf16 on GPUs
  TraceConfig config;
};

/// Errors for combinations that cannot be.
void check(const TraceOptions& options);

/// The checkpoint with the inputs' param.<name> in place of its tensors, or beside them.
NamedTensors with_parameters(NamedTensors checkpoint, const NamedTensors& inputs);

/// The shape of that model, with the heads that the mode reads.
ModelShape trace_shape(const NamedTensors& checkpoint, const TraceOptions& options);

/// Runs the trace; `checkpoint` and `shape` as the two functions above made them. The result holds
/// out.* and grad.*, or out.loss [N] and out.lr [N] (also as loss and lr) and param.*, by the
/// specification's table. Errors name the file, the tensor and what was expected.
NamedTensors trace(const NamedTensors& checkpoint, const ModelShape& shape,
                   const NamedTensors& inputs, const TraceOptions& options);

}  // namespace mome
