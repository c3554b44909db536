// Predicts a training run: seconds a step, days, GPU-hours, memory, and how far it scales.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/plan/memory.h"
#include "models/plan/shapes.h"

namespace mome {

/// How a run is set up. The model is `model`.
struct PlanSetup {
  PlannedModel model;
  Gpu gpu;
  Rates rates;
  DType dtype = DType::kF16;
  int64_t gpus = 1, per_node = 8, batch = 1, steps = 1;
  int64_t micro_batch = 0;  // samples of a GPU at a time; 0: as many as fit, a divisor of its share
  bool zero = false;
};

/// Seconds of a step, by what they are spent on.
struct StepTime {
  double products = 0, attention = 0, streams = 0, optimizer = 0;
  double launches = 0;   // what the host takes longer to issue kernels than the GPU to run them
  double outside = 0;    // outside kernels: see Rates::wall_share
  double gradients = 0;  // reduction that no backward pass hides (and with ZeRO the weights'
                         // gathering that no forward pass hides)
  double contrast = 0;   // features, and images for hard negatives, of other ranks
  double total() const {
    return products + attention + streams + optimizer + launches + outside + gradients + contrast;
  }
};

struct StepPlan {
  int64_t gpus = 0, local = 0, micro = 0;  // samples of a GPU, and at a time
  StepTime time;
  double communication = 0;  // of gradients, hidden or not
  double flops = 0;          // model FLOPs of a step, all GPUs
  MemoryParts memory;
  bool fits = true;
  double step_s() const { return time.total(); }
};

/// UsageError where the batch does not divide among the GPUs, or the GPUs among nodes. Of `gpus`
/// GPUs; 0: the setup's.
StepPlan plan_step(const PlanSetup& setup, int64_t gpus = 0);

/// One point of the strong-scaling curve: the same global batch.
struct ScalingPoint {
  StepPlan step;
  double efficiency = 0;  // of the first point's GPU-seconds
};
struct Scaling {
  std::vector<ScalingPoint> points;  // from one node on, doubling, up to 1,024 GPUs
  int64_t breaks_at = 0;             // GPUs; 0: it does not
  std::string why;
};
/// It breaks at the first point with less than half of a node's efficiency, more GPUs than samples,
/// or too little memory.
Scaling plan_scaling(const PlanSetup& setup);

inline double plan_days(const StepPlan& step, int64_t steps) {
  return step.step_s() * double(steps) / 86400;
}
/// Model FLOPs over peak; `peak` FLOP/s of a GPU.
inline double plan_mfu(const StepPlan& step, double peak) {
  return step.flops / (step.step_s() * double(step.gpus) * peak);
}
/// The peak that products of this setup could reach: TF32's where a published implementation in f32
/// uses it.
Peak assumed_peak(const PlanSetup& setup);

/// A published run as a setup.
PlanSetup setup_of(const PublishedRun& run);

}  // namespace mome
