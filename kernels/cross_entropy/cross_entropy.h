// Softmax cross-entropy over gathered rows (those that have a label), and mean squared error for
// regressed patches. Both write the gradient over their input: logits are the largest matrices of a step.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

struct CrossEntropyResult {
  double loss = 0;      // sum over rows of -log softmax(logits[r])[label[r]]
  int64_t correct = 0;  // rows whose largest logit is the label (first of equals wins)
};

/// logits [R, V] with row stride ld, label [R] in [0, V). On return logits hold
/// grad_scale * loss_scale * (softmax - onehot): the gradient of that multiple of the sum of losses. loss_scale (null: 1)
/// is the factor of a training in half precision (Micikevicius et al. 2018); it never enters the result. If
/// `keep_logits`, they are left alone (evaluation). Row maxima are subtracted: any finite logits are safe. *result is
/// assigned (zeros without rows); losses are summed in double.
template <class T, class Queue>
void cross_entropy(Queue& queue, int64_t rows, int64_t vocabulary, T* logits, int64_t ld, const int32_t* label,
                   double grad_scale, const Real<T>* loss_scale, bool keep_logits, CrossEntropyResult* result);

/// *sum = sum over all elements of (x - target)^2; x becomes grad_scale * loss_scale * 2 (x - target) unless keep.
template <class T, class Queue>
void squared_error(Queue& queue, int64_t count, T* x, const T* target, double grad_scale, const Real<T>* loss_scale,
                   bool keep, double* sum);

/// Targets for masked image modelling by pixel regression (He et al. 2022, MAE §3 "normalised
/// pixels"): per row (patch) (v - mean) / sqrt(var + 1e-6), unbiased variance (0 for a
/// width of 1). In place allowed.
template <class T, class Queue>
void normalize_patches(Queue& queue, int64_t rows, int64_t width, const T* patches, T* out);

}  // namespace mome
