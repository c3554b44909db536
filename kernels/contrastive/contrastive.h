// Image-text contrast: L2 normalisation and symmetric InfoNCE (van den Oord et al. 2018; CLIP,
// Radford et al. 2021, figure 3).
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// y[r] = x[r] / max(|x[r]|, 1e-12); inverse norms [R] are saved. Backward: dx assigned; may alias dy.
template <class T, class Queue>
void l2_normalize_forward(Queue& queue, int64_t rows, int64_t width, const T* x, T* y, Real<T>* inverse_norm);
template <class T, class Queue>
void l2_normalize_backward(Queue& queue, int64_t rows, int64_t width, const T* y, const Real<T>* inverse_norm,
                           const T* dy, T* dx);

struct ContrastiveResult {
  double loss = 0;                 // (CE over rows + CE over columns) / 2, each a mean over N
  int64_t image_correct = 0;       // rows whose largest logit is the diagonal
  int64_t text_correct = 0;        // columns whose largest logit is the diagonal
};

/// similarity [N, N]: s[i,j] = <image_i, text_j> without scale, in R = float or double on every device (16 bits would
/// round what the scale of up to 100 multiplies); logits are scale * s, scale = exp(*log_scale). A pair
/// (i, j), i != j, with image_id[i] == image_id[j] or caption_id[i] == caption_id[j] is another true
/// pair: it is left out of both softmaxes (ids null: none is). Of equal largest logits the first
/// counts. *result is assigned; N = 0 gives zeros.
/// On return similarity holds grad_scale * loss_scale * d loss / d s, and the same multiple of d loss / d log_scale is
/// added to *dlog_scale (null: frozen). loss_scale null: 1; it never enters the result.
template <class R, class Queue>
void contrastive_loss(Queue& queue, int64_t n, R* similarity, const R* log_scale, const int64_t* image_id,
                      const int64_t* caption_id, double grad_scale, const R* loss_scale, R* dlog_scale,
                      ContrastiveResult* result);

}  // namespace mome
