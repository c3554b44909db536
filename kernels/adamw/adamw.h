// AdamW over a flat arena (Loshchilov & Hutter 2019), in the form VLMo was trained with (Hugging Face
// transformers 4.8): the step is taken first, then decay acts on the updated weight, eps is not
// bias-corrected:
//   m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
//   w -= lr sqrt(1-b2^t)/(1-b1^t) * m / (sqrt(v) + eps);   w -= lr * decay * w
// Also the squared norm of the gradients and the moving average of the parameters.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// A run of parameters with the same rule: elements [begin, end) of the arena.
struct AdamWRange {
  int64_t begin = 0, end = 0;
  double lr_scale = 1;  // times lr
  double decay = 0;
};

struct AdamWStep {
  double lr = 0, beta1 = 0.9, beta2 = 0.98, eps = 1e-8;
  int64_t t = 1;           // 1 at the first step
  double grad_scale = 1;   // gradients are multiplied by it first (clipping, 1/loss scale)
};

/// w, g, m, v: arenas of the same length. Ranges do not overlap.
template <class T, class Queue>
void adamw(Queue& queue, const AdamWStep& step, int64_t ranges, const AdamWRange* range, T* w, const T* g, T* m, T* v);

/// Sum of squares over the ranges, in double, in fixed order. NaN and Inf come through.
template <class T, class Queue>
double squared_norm(Queue& queue, int64_t ranges, const AdamWRange* range, const T* g);

/// average = decay * average + (1 - decay) * w  (Polyak averaging as in MoCo/ALBEF).
template <class T, class Queue>
void moving_average(Queue& queue, int64_t count, double decay, const T* w, T* average);

}  // namespace mome
