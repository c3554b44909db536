// Binary cross-entropy with logits against soft, sparse targets: the loss of visual question
// answering, where each of some thousand answers is a yes-or-no question of its own and a handful
// have a score (Teney et al. 2018, "Tips and Tricks for Visual Question Answering", §3.7;
// torch.nn.BCEWithLogitsLoss). Writes the gradient over its input.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

struct BinaryCrossEntropyResult {
  double loss = 0;   // sum over rows and classes
  double score = 0;  // sum over rows of the target of the row's largest logit (first of equals):
                     // VQA accuracy, times rows
  int64_t rows = 0;
};

/// logits [R, C] with row stride ld. The targets of row r are target_score[k] for class
/// target_class[k], k in [begin[r], begin[r+1]), and 0 for every other class: begin [R+1]
/// ascending, classes of a row distinct and in [0, C), in any order, scores finite (of VQA: 0 to
/// 1). With logit x and target t the loss is
///   -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = max(x, 0) - x t + log1p(exp(-|x|)),
/// safe for any finite logit; it is computed as |x| u + log1p(exp(-|x|)), u = t for x < 0, else 1 -
/// t, which subtracts nothing. On return logits hold grad_scale * loss_scale * (sigmoid(x) - t):
/// the gradient of that multiple of the sum of losses. loss_scale null: 1; it never enters the
/// result. If `keep_logits`, they are left alone (evaluation). NaN is never the largest logit; a
/// row without any other has the score 0. *result is assigned.
template <class T, class Queue>
void binary_cross_entropy(Queue& queue, int64_t rows, int64_t classes, T* logits, int64_t ld,
                          const int32_t* begin, const int32_t* target_class,
                          const float* target_score, double grad_scale, const Real<T>* loss_scale,
                          bool keep_logits, BinaryCrossEntropyResult* result);

}  // namespace mome
