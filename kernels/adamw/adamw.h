// AdamW over a flat arena (Loshchilov & Hutter 2019), in the form VLMo was trained with (Hugging
// Face transformers 4.8): the step is taken first, then decay acts on the updated weight, eps is
// not bias-corrected:
//   m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
//   w -= lr sqrt(1-b2^t)/(1-b1^t) * m / (sqrt(v) + eps);   w -= lr * decay * w
// with g = grad_scale * the stored gradient. Also what goes with a step: the squared norm of the
// gradients, the decision whether the step is taken, dynamic loss scaling (Micikevicius et al.
// 2018), and the moving average of the parameters.
//
// What a step depends on stands in device memory (StepControl), so that nothing waits for the host:
//   squared_norm -> step_control -> adamw -> moving_average
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/common/queue.h"

namespace mome {

/// A run of parameters with the same rule: elements [begin, end) of the arena.
struct AdamWRange {
  int64_t begin = 0, end = 0;
  double lr_scale = 1;  // times lr
  double decay = 0;
  int64_t moments = 0;  // m and v of element i lie at i + moments: those of a shard are packed
  bool operator==(const AdamWRange&) const = default;
};

/// Elements of a range that the functions below take: the unit of work, and of a partial sum.
inline constexpr int64_t kAdamWRange = 1 << 14;
/// Ranges of any length cut into such ranges. Short ones stay whole, so that a bias and a
/// vocabulary matrix load the processors alike.
inline std::vector<AdamWRange> cut(const std::vector<AdamWRange>& ranges) {
  std::vector<AdamWRange> out;
  for (const AdamWRange& r : ranges)
    for (int64_t i = r.begin; i < r.end; i += kAdamWRange)
      out.push_back({i, std::min(r.end, i + kAdamWRange), r.lr_scale, r.decay, r.moments});
  return out;
}

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8;
};

struct ControlOptions {
  double clip = 0;       // largest global gradient norm; 0: no clipping
  bool dynamic = false;  // the loss scale adapts; else it stays as it is
  float growth = 2, backoff = 0.5f, min_scale = 1, max_scale = 0x1p24f;
  int32_t growth_interval = 2000;  // good steps between two growths
};

/// What a step is made with; in device memory. The host writes lr, and all of it before the first
/// step.
struct StepControl {
  double lr = 0;
  double squared_norm = 0;  // of the stored gradients, which are the loss scale times the true ones
  double grad_norm = 0;     // of the true ones, before clipping
  double grad_scale = 1;    // makes a stored gradient a true and clipped one
  double correction = 1;    // sqrt(1-b2^t)/(1-b1^t)
  int64_t t = 0;            // steps taken, this one included
  int64_t skipped = 0;      // steps not taken
  float loss_scale = 1;     // of the next backward pass
  int32_t good_steps = 0;   // since the loss scale changed; 0 where it is not dynamic
  int32_t skip = 0;         // this step: a gradient is NaN or Inf
  int32_t skipped_in_a_row = 0;
};

/// *result = the sum of squares over the ranges, in double, in fixed order. NaN and Inf come
/// through. g: parameter gradients, R = Real<T>. Ranges: at most kAdamWRange elements each.
template <class R, class Queue>
void squared_norm(Queue& queue, int64_t ranges, const AdamWRange* range, const R* g,
                  double* result);

/// From control->squared_norm: whether the step is skipped, and t, correction, grad_scale and
/// loss_scale (step_control.h).
template <class Queue>
void step_control(Queue& queue, const AdamWOptions& adamw, const ControlOptions& options,
                  StepControl* control);

/// The step. w, g: arenas of the same length; m, v: too, or of a shard's elements alone (range's
/// moments, a multiple of 16). Ranges do not overlap and have at most kAdamWRange elements each. copy: w rounded to the storage type T, written in the same pass; null
/// where T is w's own type. Does nothing if control->skip.
template <class T, class Queue>
void adamw(Queue& queue, const AdamWOptions& options, const StepControl* control, int64_t ranges,
           const AdamWRange* range, Real<T>* w, const Real<T>* g, Real<T>* m, Real<T>* v, T* copy);

/// average = decay * average + (1 - decay) * w  (Polyak averaging as in MoCo/ALBEF). Does nothing
/// if control->skip.
template <class R, class Queue>
void moving_average(Queue& queue, int64_t count, double decay, const StepControl* control,
                    const R* w, R* average);

/// copy = w rounded to the storage type. T = half or bf16, which the CPU does not compute in: GPU
/// queues only.
template <class T, class Queue>
void round_copy(Queue& queue, int64_t count, const Real<T>* w, T* copy);

}  // namespace mome
