#include "models/stages/guard.h"

#include <limits>

namespace mome {

void poison_gradients(ParameterSet& parameters) {
  const std::vector<AdamWRange> trained = parameters.trained_ranges();
  if (trained.empty()) return;
  dispatch(parameters.dtype(), [&]<class T>() {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    parameters.device().upload(static_cast<T*>(parameters.grads()) + trained[0].begin, &nan, sizeof nan);
  });
}

void Guard::begin(int64_t step, const OptimizerProgress& progress, const Detour& detour) {
  good_.step = step;
  good_.progress = progress;
  good_.detour = detour;
  scale_ = progress.loss_scale;
  bad_ = counted_ = 0;
}

Guard::Verdict Guard::after(int64_t step, const OptimizerReport& report, const OptimizerProgress& progress) {
  const float scale = scale_;
  scale_ = report.loss_scale;
  if (!report.skipped) {
    bad_ = counted_ = 0;
    good_.step = step + 1;
    good_.progress = progress;
    if (step > good_.detour.bad_step) good_.detour.rollbacks = 0;
    return Verdict::kGoOn;
  }
  ++bad_;
  if (scale <= ControlOptions{}.min_scale) ++counted_;
  if (rollback_after_ == 0) return bad_ >= Optimizer::kStuck ? Verdict::kStop : Verdict::kGoOn;
  if (counted_ < rollback_after_) return Verdict::kGoOn;
  return good_.detour.rollbacks < rollbacks_ ? Verdict::kRollBack : Verdict::kStop;
}

Detour Guard::around(int64_t step, int64_t bad_step) const {
  const Detour& now = good_.detour;
  return {now.batches + bad_step + 1 - step, now.rollbacks + 1, bad_step};
}

}  // namespace mome
