// Packed multi-head attention over at most two row segments a sequence, with an additive bias
// matrix and its gradient, optional causal mask. No padding: a sequence attends over its own rows
// alone.
//
//   S[i,j] = scale * <q_i, k_j> + bias[h, p(i), p(j)],  P = softmax_j(S),  o_i = sum_j P[i,j] v_j
//
// p() is a token's position in the bias matrix. Keys of segment s stand at positions
// k_position[s], k_position[s] + 1, …; queries name theirs one by one, so that a pruned last block
// (queries of read rows only) needs no other kernel. Causal: key j is seen iff p(j) <= p(i).
// Source: Vaswani et al. 2017 §3.2; bias as in BEiT / VLMo (relative position bias).
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// One sequence. Segment 0 is the text, segment 1 the image (either may be empty). Query rows and
/// key rows are independent: rows of Q (and of the output), and rows of K and V.
struct AttentionSequence {
  int32_t q_begin[2], q_count[2];
  int32_t k_begin[2], k_count[2];
  int32_t k_position[2];
};

template <class T>
struct AttentionArgs {
  int64_t sequences = 0;                        // B
  const AttentionSequence* sequence = nullptr;  // [B]; no key or query row is in two sequences
  const int32_t* q_position = nullptr;          // [query rows]; may be null without bias and causal
  int64_t heads = 0, head_dim = 0;              // H, d; head h owns columns h*d … h*d+d-1
  Real<T> scale = 1;
  const T* q = nullptr;  // [query rows, ldq]
  int64_t ldq = 0;
  const T* k = nullptr;  // [key rows, ldk]; k and v may be column ranges of one QKV matrix
  int64_t ldk = 0;
  const T* v = nullptr;
  int64_t ldv = 0;
  const Real<T>* bias = nullptr;  // [H, M, M] or null
  int64_t bias_size = 0;    // M
  bool causal = false;
  int64_t max_q = 0, max_k = 0;  // most queries and keys of a sequence (both segments); GPUs size their grids by them
};

/// out [query rows, ldo]; lse [query rows, H] (log-sum-exp of the scores, what backward needs).
/// A query that sees no key gets out = 0 and lse = -inf.
template <class T, class Queue>
void attention_forward(Queue& queue, const AttentionArgs<T>& a, T* out, int64_t ldo, Real<T>* lse);

/// Gradients: dq, dk, dv are assigned (same strides as q, k, v; every row of a sequence is
/// written); dbias [H, M, M], if not null, is added to. out, lse from the forward pass, dout [query
/// rows, ldo].
template <class T, class Queue>
void attention_backward(Queue& queue, const AttentionArgs<T>& a, const T* out, const T* dout, int64_t ldo,
                        const Real<T>* lse, T* dq, T* dk, T* dv, Real<T>* dbias);

}  // namespace mome
