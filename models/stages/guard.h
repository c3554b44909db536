// What to do when losses or gradients are not finite. The optimiser skips such a step (runtime/optim/optimizer.h), which leaves the
// model as it was. Where they stay so, the weights themselves are on a bad way: the run goes back to a resume point from before,
// and leaves out the batches that led here (Chowdhery et al. 2022, "PaLM", section 5.1: from a point some 100 steps before a loss
// spike, without the 200 to 500 batches around it, none of 20 spikes came back).
#pragma once
#include "models/stages/config.h"
#include "models/stages/resume_point.h"

namespace mome {

/// Makes the optimiser skip the coming step, by the rule that it has: one gradient becomes NaN.
void poison_gradients(ParameterSet& parameters);

class Guard {
 public:
  explicit Guard(const RunConfig& config) : rollback_after_(config.rollback_after), rollbacks_(config.rollbacks) {}

  /// The run is behind `step` steps, in this state.
  void begin(int64_t step, const OptimizerProgress& progress, const Detour& detour);

  enum class Verdict { kGoOn, kRollBack, kStop };
  /// After step number `step`. Steps that fp16's loss scale was still too large for do not count: it comes down first.
  Verdict after(int64_t step, const OptimizerReport& report, const OptimizerProgress& progress);

  /// Whether the last steps were skipped. Resume points are not made then, so that none lies within such a row; what the
  /// model holds is what `good()` describes.
  bool in_bad_row() const { return bad_ > 0; }
  int64_t bad_steps() const { return bad_; }
  /// The state behind the last good step: steps, progress and detour.
  const ResumePoint& good() const { return good_; }
  /// The detour of a run that goes back from the current bad row, whose last step is `bad_step`, to a point of `step` steps:
  /// no batch that was drawn since is drawn again.
  Detour around(int64_t step, int64_t bad_step) const;

 private:
  const int64_t rollback_after_, rollbacks_;
  ResumePoint good_;
  float scale_ = 1;             // that the coming step is made with
  int64_t bad_ = 0, counted_ = 0;  // skipped steps in a row; those at the smallest scale
};

}  // namespace mome
