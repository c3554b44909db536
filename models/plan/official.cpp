#include "models/plan/official.h"

namespace mome {
namespace {

// Elementwise traffic of a block, bytes a row and unit of width, of unfused PyTorch. Under autocast
// norms, residuals, layer scale and drop path are float: norm 4 + 4, its cast 4 + 2, scaling 2 + 4,
// drop path 4 + 4, residual 8 + 4 for each half, and GELU over 4 D at 2 + 2: 2 * 40 + 16 forward.
// In float: norm 8, residual 12, dropout 8 for each half, GELU 32: 88. Backward moves twice as
// much.
double stream_bytes(DType dtype) { return dtype == DType::kF32 ? 88 : 96; }

// Kept for backward, bytes a row and unit of width: under autocast q, k, v 6, attention's float
// copies of q and k 8, its output 2, the projection 2, scaled 4, the sum 4, both norms 6 + 6, the
// hidden product 8 and its GELU 8, the output 2 and scaled 4, the next sum 4: 64. In float the same
// tensors without the casts: 17 of them.
double saved_bytes(DType dtype) { return dtype == DType::kF32 ? 68 : 64; }
// Of each score: softmax in float and its 16-bit copy; in float softmax, its dropout and the mask
// of that.
double score_bytes(DType dtype) { return dtype == DType::kF32 ? 9 : 6; }

// Operations of a block in eager mode, forward and backward, and twice the forward's third for a
// second attention.
constexpr double kBlockKernels = 100;

}  // namespace

void add_linear(Work& work, double rows, double in, double out, bool input_grad, bool backward) {
  work.gemms.push_back({rows, in, out, 1, backward && input_grad, backward, false});
}

void add_tower(Work& work, const Tower& t, DType dtype) {
  const double d = t.width, rows = t.sequences * t.tokens * t.layers,
               keys = t.sequences * t.keys * t.layers;
  // One product a block, so that few rows are seen as few.
  const auto linear = [&](double r, double in, double out, bool weight) {
    work.gemms.push_back(
        {r / t.layers, in, out, t.layers, t.backward, t.backward && weight, false});
  };
  linear(rows, d, 3 * d, t.train_attention);
  linear(rows, d, d, t.train_attention);
  work.attention.push_back({rows * t.tokens, d, t.backward, false});
  double scores = rows * t.tokens, streamed = rows;
  if (t.keys > 0) {
    linear(rows, d, d, true);
    linear(keys, d, 2 * d, true);
    linear(rows, d, d, true);
    work.attention.push_back({rows * t.keys, d, t.backward, false});
    scores += rows * t.keys;
    streamed *= 1.5;  // a third residual and norm
  }
  linear(rows, d, 4 * d, true);
  linear(rows, 4 * d, d, true);
  work.stream_forward += streamed * d * stream_bytes(dtype);
  if (t.backward) {
    work.stream_backward += 2 * streamed * d * stream_bytes(dtype);
    work.saved += (streamed * saved_bytes(dtype) + keys * 2 * double(size_of(dtype))) * d +
                  scores * t.heads * score_bytes(dtype);
  }
  work.kernels += t.layers * kBlockKernels * (t.keys > 0 ? 1.5 : 1) * (t.backward ? 1 : 1.0 / 3);
}

void add_word_head(Work& work, double rows, double width, double vocabulary, DType dtype,
                   bool backward) {
  add_linear(work, rows, width, width, true, backward);
  add_linear(work, rows, width, vocabulary, true, backward);
  // Cross-entropy is float: cast, log-softmax, and in backward its gradient and the cast back.
  const double logits = rows * vocabulary, bytes = double(size_of(dtype));
  work.stream_forward += logits * (bytes + 4 + 4 + 4);
  if (backward) {
    work.stream_backward += logits * (4 + 4 + 4 + bytes);
    work.saved += logits * (bytes + 4);
  }
}

}  // namespace mome
