#include <cmath>

#include "runtime/ops/ops.h"

namespace mome {

Var* l2_normalize(Tape& tape, Var* x) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x});
  Tensor inverse = tape.scratch(rows, 1, real_dtype(dtype));
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    l2_normalize_forward<T>(q, rows, width, x->value.as<T>(), y->value.as<T>(), inverse.as<Real<T>>());
  });
  if (!tape.wants(y)) {
    tape.free(inverse);
    return y;
  }
  tape.record({y}, {inverse}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      l2_normalize_backward<T>(q, rows, width, y->value.as<T>(), inverse.as<Real<T>>(), y->grad.as<T>(), dx.as<T>());
    });
  });
  return y;
}

// A loss writes its gradient over its input: logits are the largest matrix of a step and nobody reads them again.
LossOut cross_entropy_loss(Tape& tape, Var* logits, const std::vector<int32_t>& labels, double weight, const void* loss_scale,
                           Readout& readout) {
  const int64_t rows = logits->rows(), vocabulary = logits->cols();
  MOME_CHECK(int64_t(labels.size()) == rows);
  LossOut out{readout.slot<CrossEntropyResult>(), rows, rows};
  if (rows == 0) return out;
  const bool train = tape.wants(logits);
  dispatch(tape.device(), logits->value.dtype, [&]<class T>(auto& q) {
    cross_entropy<T>(q, rows, vocabulary, logits->value.as<T>(), vocabulary, tape.on_device(labels), weight / double(rows),
                     static_cast<const Real<T>*>(loss_scale), !train, out.result.device());
  });
  if (train) logits->grad = logits->value;
  return out;
}

BinaryLossOut binary_cross_entropy_loss(Tape& tape, Var* logits, const SoftTargets& targets, double weight, const void* loss_scale,
                                        Readout& readout) {
  const int64_t rows = logits->rows(), classes = logits->cols();
  MOME_CHECK(int64_t(targets.begin.size()) == rows + 1 && targets.target_class.size() == targets.score.size() &&
             targets.begin.back() == int32_t(targets.score.size()));
  BinaryLossOut out{readout.slot<BinaryCrossEntropyResult>(), rows};
  if (rows == 0) return out;
  const bool train = tape.wants(logits);
  dispatch(tape.device(), logits->value.dtype, [&]<class T>(auto& q) {
    binary_cross_entropy<T>(q, rows, classes, logits->value.as<T>(), classes, tape.on_device(targets.begin),
                            tape.on_device(targets.target_class), tape.on_device(targets.score), weight / double(rows),
                            static_cast<const Real<T>*>(loss_scale), !train, out.result.device());
  });
  if (train) logits->grad = logits->value;
  return out;
}

LossOut squared_error_loss(Tape& tape, Var* x, Tensor target, double weight, const void* loss_scale, Readout& readout) {
  const int64_t n = x->value.count();
  MOME_CHECK(target.count() == n);
  LossOut out{readout.slot<CrossEntropyResult>(), x->rows(), n};
  if (n == 0) return out;
  const bool train = tape.wants(x);
  dispatch(tape.device(), x->value.dtype, [&]<class T>(auto& q) {
    squared_error<T>(q, n, x->value.as<T>(), target.as<T>(), weight / double(n), static_cast<const Real<T>*>(loss_scale), !train,
                     &out.result.device()->loss);
  });
  if (train) x->grad = x->value;
  return out;
}

Readout::Slot<ContrastiveResult> contrastive_loss(Tape& tape, Var* s, Var* logit_scale, const std::vector<int64_t>& image_id,
                                                  const std::vector<int64_t>& caption_id, double weight, const void* loss_scale,
                                                  Readout& readout) {
  const int64_t n = s->rows();
  const auto ids = [&](const std::vector<int64_t>& v) {
    MOME_CHECK(v.empty() || int64_t(v.size()) == n);
    return v.empty() ? nullptr : tape.on_device(v);
  };
  MOME_CHECK(s->cols() == n);
  const auto out = readout.slot<ContrastiveResult>();
  dispatch(tape.device(), s->value.dtype, [&]<class T>(auto& q) {
    using R = Real<T>;  // similarities are not of the model's dtype
    contrastive_loss<R>(q, n, s->value.as<R>(), logit_scale->value.as<R>(), ids(image_id), ids(caption_id), weight,
                        static_cast<const R*>(loss_scale), logit_scale->needs_grad ? logit_scale->grad.as<R>() : nullptr, out.device());
  });
  if (tape.wants(s)) s->grad = s->value;
  return out;
}

}  // namespace mome
