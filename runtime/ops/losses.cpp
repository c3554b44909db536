#include <cmath>

#include "runtime/ops/ops.h"

namespace mome {

Var* l2_normalize(Tape& tape, Var* x) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x});
  Tensor inverse = tape.scratch(rows, 1, dtype);
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) { l2_normalize_forward<T>(q, rows, width, x->value.as<T>(), y->value.as<T>(), inverse.as<T>()); });
  if (!tape.wants(y)) {
    tape.free(inverse);
    return y;
  }
  tape.record({y}, {inverse}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      l2_normalize_backward<T>(q, rows, width, y->value.as<T>(), inverse.as<T>(), y->grad.as<T>(), dx.as<T>());
    });
  });
  return y;
}

// A loss writes its gradient over its input: logits are the largest matrix of a step and nobody reads them again.
LossOut cross_entropy_loss(Tape& tape, Var* logits, const std::vector<int32_t>& labels, double weight) {
  const int64_t rows = logits->rows(), vocabulary = logits->cols();
  MOME_CHECK(int64_t(labels.size()) == rows);
  LossOut out;
  out.count = rows;
  if (rows == 0) return out;
  const bool train = tape.wants(logits);
  CrossEntropyResult r = dispatch(tape.device(), logits->value.dtype, [&]<class T>(auto& q) {
    return cross_entropy<T>(q, rows, vocabulary, logits->value.as<T>(), vocabulary, labels.data(), weight / double(rows), !train);
  });
  if (train) logits->grad = logits->value;
  out.loss = r.loss / double(rows);
  out.correct = r.correct;
  return out;
}

LossOut squared_error_loss(Tape& tape, Var* x, Tensor target, double weight) {
  const int64_t n = x->value.count();
  MOME_CHECK(target.count() == n);
  LossOut out;
  out.count = x->rows();
  if (n == 0) return out;
  const bool train = tape.wants(x);
  out.loss = dispatch(tape.device(), x->value.dtype, [&]<class T>(auto& q) {
    return squared_error<T>(q, n, x->value.as<T>(), target.as<T>(), weight / double(n), !train);
  }) / double(n);
  if (train) x->grad = x->value;
  return out;
}

ContrastiveResult contrastive_loss(Tape& tape, Var* s, Var* logit_scale, const int64_t* image_id, const int64_t* caption_id,
                                   double weight) {
  const DType dtype = s->value.dtype;
  return dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    const double scale = std::exp(double(*logit_scale->value.as<T>()));
    ContrastiveResult r = contrastive_loss<T>(q, s->rows(), s->value.as<T>(), scale, image_id, caption_id, weight);
    if (tape.wants(s)) s->grad = s->value;
    // d loss / d log(scale) = scale * d loss / d scale
    if (logit_scale->needs_grad) *logit_scale->grad.as<T>() += T(r.dscale * scale);
    return r;
  });
}

}  // namespace mome
