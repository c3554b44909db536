// Differentiable operations: each runs a kernel of kernels/ on tape variables and records its backward.
// Shapes are matrices of packed rows; see the kernel's header for the formula. A null Var is "absent".
#pragma once
#include <memory>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/bias_gelu/bias_gelu.h"
#include "kernels/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/contrastive/contrastive.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/relative_bias/relative_bias.h"
#include "kernels/rows/rows.h"
#include "runtime/autograd/tape.h"
#include "runtime/comm/communicator.h"
#include "runtime/ops/readout.h"

namespace mome {

/// y = x W^T + b;  x [R, K], weight [N, K], bias [1, N] or null.
Var* linear(Tape& tape, Var* x, Var* weight, Var* bias);

/// The attention input projection: bias is [q_bias | 0 | v_bias] (BEiT: keys have no bias).
/// weight [3D, D]; first..first+parts of the three parts (q, k, v) are computed: 0,3 all; 0,1 q; 1,2 kv.
Var* qkv_linear(Tape& tape, Var* x, Var* weight, Var* q_bias, Var* v_bias, int first, int parts);

/// y = LayerNorm(x).
Var* layer_norm(Tape& tape, Var* x, Var* weight, Var* bias, double eps);

/// LayerNorm parameters of a run of rows: each expert has its own norm2.
struct NormRange {
  int64_t begin = 0, count = 0;
  Var* weight = nullptr;
  Var* bias = nullptr;
};
struct ResidualOut {
  Var* y = nullptr;  // the residual stream
  Var* n = nullptr;  // its norm (null without ranges)
};
/// y = x + row_scale * gamma * h, n = LayerNorm(y) with the parameters of the row's range. Ranges cover all
/// rows or are empty (no norm). gamma [1, D] or null; row_scale [R] or absent, in the real_dtype of x's, as the norms'
/// parameters are.
ResidualOut residual_norm(Tape& tape, Var* x, Var* h, Var* gamma, Tensor row_scale,
                          const std::vector<NormRange>& ranges, double eps);

/// A feed-forward expert on a contiguous run of rows: fc2(gelu(fc1(x))).
struct ExpertRange {
  int64_t begin = 0, count = 0;
  Var *fc1_weight = nullptr, *fc1_bias = nullptr, *fc2_weight = nullptr, *fc2_bias = nullptr;
};
/// x [R, D] -> [R, D]; ranges cover all rows. recompute: the hidden product is not kept for backward but made again there.
Var* experts(Tape& tape, Var* x, const std::vector<ExpertRange>& ranges, Gelu gelu, bool recompute = false);

/// What attention is told of the packed rows; owned by the layout, outlives the tape.
struct AttentionRows {
  std::vector<AttentionSequence> sequences;
  std::vector<int32_t> q_position;
};
/// q [Rq, >= D] and kv: `qkv` is one matrix [R, 3D] (q_rows null) or keys and values [R, 2D] with
/// separate queries q [Rq, D]. bias [H, M*M] or null. out [Rq, D].
Var* attention(Tape& tape, Var* q, Var* kv, const AttentionRows& rows, int64_t heads, Var* bias, bool causal = false);

/// Bias of one layer [H, M*M] from the table [A, H*L]: columns layer*H …. In the table's dtype: a parameter's, whatever the
/// dtype of the computation is. The index outlives the tape.
Var* relative_bias(Tape& tape, Var* table, const RelativeIndex& index, int64_t layer, int64_t heads);

/// out[r] = x[index[r]].
struct GatherPlan {
  std::vector<int32_t> index;
  GatherInverse inverse;
  bool identity = false;  // then the gather is skipped
};
GatherPlan make_gather(int64_t source_rows, std::vector<int32_t> index);
Var* gather_rows(Tape& tape, Var* x, const GatherPlan& plan);

/// An output that nobody has read yet, seen as a matrix of another shape: its rows lie one after another.
Var* reshaped(Var* x, int64_t rows, int64_t cols);

/// x [N, D] of every rank -> [ranks * N, D], the same on all. What follows is computed by every rank in whole, so that its
/// gradient is whole too: a rank takes that of its own rows, and nothing is exchanged on the way back. (open_clip's local loss
/// saves that work and sends gradients instead; here it is 3 * 2 (N ranks)^2 D FLOPs of a step, below a hundredth of it up to
/// 4,096 pairs.)
Var* gather_ranks(Tape& tape, Var* x, Communicator& ranks);

/// The rows of a, then the rows of b.
Var* concat_rows(Tape& tape, Var* a, Var* b);

/// Means of x over row segments [begin, begin+count).
struct Segments {
  std::vector<int32_t> begin, count;
};
Var* segment_mean(Tape& tape, Var* x, const Segments& segments);

/// BERT embeddings before their norm, in `dtype`; the tables are in its real_dtype. token, pos [R] outlive the tape;
/// position null: none.
Var* text_embedding(Tape& tape, Var* word, Var* type, Var* position, const std::vector<int32_t>& token,
                    const std::vector<int32_t>& pos, int32_t pad, DType dtype);
/// x + row, the same row [1, D] for all rows (VLMo's token-type embedding after BERT's LayerNorm).
Var* add_row(Tape& tape, Var* x, Var* row);
/// Projected patches [B*P, D] -> image tokens [B*(P+1), D].
Var* patch_embedding(Tape& tape, Var* proj, int64_t batch, int64_t patches, Var* cls, Var* position, Var* type,
                     const std::vector<uint8_t>* masked, Var* mask_token);

Var* gelu(Tape& tape, Var* x, Gelu kind);
Var* tanh(Tape& tape, Var* x);
/// row [R]: which draws a row has (kernels/dropout); outlives the tape.
Var* dropout(Tape& tape, Var* x, const std::vector<int64_t>& row, double p, uint64_t seed, uint64_t step, uint64_t stream);
Var* l2_normalize(Tape& tape, Var* x);
/// x itself, but what is sent back through it is multiplied by the factor. Nothing is copied.
Var* scale_gradient(Tape& tape, Var* x, double factor);
/// x [N, D], y [M, D] -> x y^T [N, M] in real_dtype of theirs.
Var* similarity(Tape& tape, Var* x, Var* y);

/// Losses: the gradient of weight * loss, times *loss_scale (a device scalar of the gradients' dtype, null: 1), is left in
/// the input; the value goes to `readout` and is there after readout.read().
struct LossOut {
  Readout::Slot<CrossEntropyResult> result;  // sums
  int64_t count = 0;                         // rows
  int64_t terms = 0;                         // what the loss is a mean over
  double loss() const { return terms ? result->loss / double(terms) : 0; }  // mean, unweighted
  int64_t correct() const { return result->correct; }
};
/// Mean cross-entropy over all rows of logits; 0 rows give loss 0 and no gradient. Labels outlive the tape.
LossOut cross_entropy_loss(Tape& tape, Var* logits, const std::vector<int32_t>& labels, double weight, const void* loss_scale,
                           Readout& readout);
/// Sparse targets of rows over classes: those of row r are entries [begin[r], begin[r+1]), distinct classes with their score;
/// all other classes have target 0.
struct SoftTargets {
  std::vector<int32_t> begin{0}, target_class;  // [R+1]; [entries]
  std::vector<float> score;                     // [entries]
};
struct BinaryLossOut {
  Readout::Slot<BinaryCrossEntropyResult> result;  // sums
  int64_t count = 0;                               // rows
  double loss() const { return count ? result->loss / double(count) : 0; }
  double score() const { return count ? result->score / double(count) : 0; }  // mean target of the largest logit: VQA accuracy
};
/// Binary cross-entropy summed over classes, mean over rows (VLMo's VQA loss, specification §3: torch's mean over all elements
/// times the number of classes); 0 rows give loss 0 and no gradient. Targets outlive the tape.
BinaryLossOut binary_cross_entropy_loss(Tape& tape, Var* logits, const SoftTargets& targets, double weight, const void* loss_scale,
                                        Readout& readout);
/// Mean squared error over all elements.
LossOut squared_error_loss(Tape& tape, Var* x, Tensor target, double weight, const void* loss_scale, Readout& readout);
/// Symmetric InfoNCE of a similarity matrix (of the dtype of statistics) under exp(logit_scale [1,1]). Ids outlive the tape;
/// empty: no two are equal.
Readout::Slot<ContrastiveResult> contrastive_loss(Tape& tape, Var* similarity, Var* logit_scale, const std::vector<int64_t>& image_id,
                                                  const std::vector<int64_t>& caption_id, double weight, const void* loss_scale,
                                                  Readout& readout);

}  // namespace mome
