// Image-text contrast: L2 normalisation and symmetric InfoNCE (van den Oord et al. 2018; CLIP,
// Radford et al. 2021, figure 3).
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// y[r] = x[r] / max(|x[r]|, 1e-12); inverse norms [R] are saved. Backward: dx assigned; may alias dy.
template <class T, class Queue>
void l2_normalize_forward(Queue& queue, int64_t rows, int64_t width, const T* x, T* y, T* inverse_norm);
template <class T, class Queue>
void l2_normalize_backward(Queue& queue, int64_t rows, int64_t width, const T* y, const T* inverse_norm,
                           const T* dy, T* dx);

struct ContrastiveResult {
  double loss = 0;                 // (CE over rows + CE over columns) / 2, each a mean over N
  int64_t image_correct = 0;       // rows whose largest logit is the diagonal
  int64_t text_correct = 0;        // columns whose largest logit is the diagonal
  double dscale = 0;               // d loss / d scale, times grad_scale
};

/// similarity [N, N]: s[i,j] = <image_i, text_j> without scale; logits are scale * s, scale > 0. A pair
/// (i, j), i != j, with image_id[i] == image_id[j] or caption_id[i] == caption_id[j] is another true
/// pair: it is left out of both softmaxes (ids null: none is). Of equal largest logits the first
/// counts. On return similarity holds grad_scale * d loss / d s. N = 0 gives zeros.
template <class T, class Queue>
ContrastiveResult contrastive_loss(Queue& queue, int64_t n, T* similarity, double scale, const int64_t* image_id,
                                   const int64_t* caption_id, double grad_scale);

}  // namespace mome
