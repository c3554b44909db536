// The optimiser of a parameter set: gradient norm, clipping, loss scale, AdamW, 16-bit copies,
// moving average. Everything that a step depends on lies on the parameters' device, so that step()
// only enqueues work and never waits.
#pragma once
#include <vector>

#include "runtime/optim/gradient_sync.h"
#include "runtime/optim/parameters.h"

namespace mome {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8;
  double clip = 0;     // largest global gradient norm; 0: no clipping
  double average = 0;  // decay of the moving average of the parameters; 0: none kept
};

/// The last step.
struct OptimizerReport {
  double grad_norm = 0;          // of the true gradients, before clipping
  bool skipped = false;          // gradients were not finite: nothing was changed
  float loss_scale = 1;          // of the next backward pass
  int64_t skipped_in_a_row = 0;  // steps up to this one; 0: it was taken
};

/// What an optimiser must know besides the moments to go on where another one stopped.
struct OptimizerProgress {
  int64_t t = 0;         // steps taken
  int64_t skipped = 0;   // steps skipped
  float loss_scale = 0;  // 0: not known, the start's
  int32_t good_steps = 0, skipped_in_a_row = 0;
  bool operator==(const OptimizerProgress&) const = default;
};

class Optimizer {
 public:
  /// So many steps in a row whose gradients are not finite, and training is stuck: every loss scale
  /// was tried long before.
  static constexpr int64_t kStuck = 50;

  /// Gradients in fp16 are scaled by a dynamic loss scale, which starts at 2^16; in any other type
  /// the scale is 1.
  /// `sync`: gradients are summed over ranks by it; this steps what it says this rank owns, and hands the new values to it.
  Optimizer(ParameterSet& parameters, const OptimizerOptions& options, GradientSync* sync = nullptr);
  ~Optimizer();
  Optimizer(const Optimizer&) = delete;

  /// Rate of the steps that follow.
  void set_rate(double lr);
  /// Enqueues a step over the trained parameters. It is skipped if a gradient is NaN or Inf.
  void step();
  /// Waits for the last step.
  OptimizerReport report() const;
  /// On the device: what the loss's gradient is multiplied by.
  const float* loss_scale() const { return &control_->loss_scale; }

  OptimizerProgress progress() const;
  void resume(const OptimizerProgress& progress);

 private:
  StepControl control() const;
  void update_ranges();
  std::vector<AdamWRange> stepped_ranges() const;

  ParameterSet& parameters_;
  GradientSync* sync_;
  Device& device_;
  AdamWOptions adamw_;
  ControlOptions options_;
  double average_;
  StepControl* control_ = nullptr;  // on the device
  std::vector<AdamWRange> ranges_;  // as the parameters had them at the last step
  std::vector<AdamWRange> cut_;
  AdamWRange* table_ = nullptr;  // cut_ on the device
};

}  // namespace mome
