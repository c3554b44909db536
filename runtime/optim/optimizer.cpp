#include "runtime/optim/optimizer.h"

#include <cmath>

namespace mome {

OptimizerReport optimizer_step(ParameterSet& parameters, const OptimizerOptions& options, double lr,
                               int64_t t) {
  const std::vector<AdamWRange> ranges = parameters.trained_ranges();
  OptimizerReport report;
  dispatch(parameters.dtype(), [&]<class T>() {
    const T* g = static_cast<const T*>(parameters.grads());
    report.grad_norm = std::sqrt(squared_norm(cpu, int64_t(ranges.size()), ranges.data(), g));
    report.skipped = !std::isfinite(report.grad_norm);
    if (report.skipped) return;
    AdamWStep step{lr, options.beta1, options.beta2, options.eps, t, 1.0};
    if (options.clip > 0 && report.grad_norm > options.clip) step.grad_scale = options.clip / report.grad_norm;
    adamw(cpu, step, int64_t(ranges.size()), ranges.data(), static_cast<T*>(parameters.values()), g,
          static_cast<T*>(parameters.moments1()), static_cast<T*>(parameters.moments2()));
    if (parameters.has_average())
      moving_average(cpu, parameters.count(), options.average, static_cast<const T*>(parameters.values()),
                     static_cast<T*>(parameters.averages()));
  });
  return report;
}

}  // namespace mome
