// The rule of step_control(), one text for all devices. The loss scale is that of Micikevicius et
// al. 2018, "Mixed Precision Training", section 3.2, in the dynamic form of the frameworks: it
// grows after so many good steps and backs off at once when a gradient overflows; that step is not
// taken and does not count in t.
#pragma once
#include <cfloat>
#include <cmath>

#include "kernels/adamw/adamw.h"

namespace mome {

MOME_HOST_DEVICE inline void update_control(const AdamWOptions& adamw, const ControlOptions& o,
                                            StepControl& c) {
  const double scale = c.loss_scale;
  c.grad_norm = sqrt(c.squared_norm) / scale;
  c.skip = !(c.squared_norm <= DBL_MAX);  // a NaN fails every comparison
  if (c.skip) {
    ++c.skipped;
    ++c.skipped_in_a_row;
    c.good_steps = 0;
    if (o.dynamic && c.loss_scale > o.min_scale) {
      const float less = c.loss_scale * o.backoff;
      c.loss_scale = less > o.min_scale ? less : o.min_scale;
    }
    return;
  }
  ++c.t;
  c.skipped_in_a_row = 0;
  c.correction = sqrt(1 - pow(adamw.beta2, double(c.t))) / (1 - pow(adamw.beta1, double(c.t)));
  c.grad_scale = (o.clip > 0 && c.grad_norm > o.clip ? o.clip / c.grad_norm : 1.0) / scale;
  if (!o.dynamic || ++c.good_steps < o.growth_interval) return;
  c.good_steps = 0;
  const float more = c.loss_scale * o.growth;
  c.loss_scale = more < o.max_scale ? more : o.max_scale;
}

/// Factors of one range's elements.
template <class R>
struct AdamWRates {
  R b1, c1, b2, c2, eps, grad_scale, rate, decay;
};
template <class R>
MOME_HOST_DEVICE inline AdamWRates<R> rates_of(const AdamWOptions& o, const StepControl& c,
                                               const AdamWRange& range) {
  const double lr = c.lr * range.lr_scale;
  return {R(o.beta1), R(1 - o.beta1),  R(o.beta2),           R(1 - o.beta2),
          R(o.eps),   R(c.grad_scale), R(lr * c.correction), R(lr * range.decay)};
}

}  // namespace mome
