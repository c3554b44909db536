#include "kernels/linear/linear.h"
#include "runtime/ops/ops.h"

namespace mome {

// Saved for backward: the product a = x W1^T [R, F] alone. gelu(a + b1) is computed again there:
// one pass over memory instead of keeping the widest activation of the network twice. With
// `recompute` not even a is kept: one product of the six that an expert needs is run again (a tenth
// more FLOPs of a step), and 4 D of a block's 14 D values a row are saved.
Var* experts(Tape& tape, Var* x, const std::vector<ExpertRange>& ranges, Gelu kind,
             bool recompute) {
  const int64_t rows = x->rows(), d = x->cols();
  const DType dtype = x->value.dtype;
  MOME_CHECK(!ranges.empty());
  const int64_t f = ranges[0].fc1_weight->rows();
  int64_t covered = 0;
  Var* y = tape.output(rows, d, dtype, {x});
  for (const ExpertRange& r : ranges) {
    covered += r.count;
    for (const Var* v : {r.fc1_weight, r.fc1_bias, r.fc2_weight, r.fc2_bias})
      y->needs_grad = y->needs_grad || (v->needs_grad && tape.recording());
  }
  MOME_CHECK(covered == rows);
  Tensor a = tape.scratch(rows, f, dtype);
  Tensor g = tape.scratch(rows, f, dtype);
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    for (const ExpertRange& r : ranges) {
      if (r.count == 0) continue;
      T *ar = a.slice(r.begin, r.count).as<T>(), *gr = g.slice(r.begin, r.count).as<T>();
      linear_forward<T>(q, r.count, d, f, x->value.slice(r.begin, r.count).as<T>(), d,
                        r.fc1_weight->operand().as<T>(), nullptr, ar, f);
      bias_gelu_forward<T>(q, kind, r.count, f, ar, r.fc1_bias->value.as<Real<T>>(), gr);
      linear_forward<T>(q, r.count, f, d, gr, f, r.fc2_weight->operand().as<T>(),
                        r.fc2_bias->value.as<Real<T>>(), y->value.slice(r.begin, r.count).as<T>(),
                        d);
    }
  });
  tape.free(g);
  const bool keep = tape.wants(y) && !recompute;
  if (!keep) tape.free(a);
  if (!tape.wants(y)) return y;
  tape.record({y}, keep ? std::vector<Tensor>{a} : std::vector<Tensor>{}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false, ignored = false;
      Tensor dx = tape.grad(x, &add);
      Tensor hidden = keep ? a : tape.scratch(rows, f, dtype);
      Tensor g = tape.scratch(rows, f, dtype);
      for (const ExpertRange& r : ranges) {
        if (r.count == 0) continue;
        const bool trained = r.fc1_weight->needs_grad;
        if (!dx && !trained) continue;
        const T* dy = y->grad.slice(r.begin, r.count).as<T>();
        T* ar = hidden.slice(r.begin, r.count).as<T>();
        T* gr = g.slice(r.begin, r.count).as<T>();
        if (!keep)
          linear_forward<T>(q, r.count, d, f, x->value.slice(r.begin, r.count).as<T>(), d,
                            r.fc1_weight->operand().as<T>(), nullptr, ar, f);
        if (r.fc2_weight->needs_grad) {
          bias_gelu_forward<T>(q, kind, r.count, f, ar, r.fc1_bias->value.as<Real<T>>(), gr);
          linear_backward_weight<T>(q, r.count, f, d, gr, f, dy, d,
                                    tape.grad(r.fc2_weight, &ignored).as<Real<T>>(),
                                    tape.grad(r.fc2_bias, &ignored).as<Real<T>>());
        }
        linear_backward_input<T>(q, r.count, f, d, dy, d, r.fc2_weight->operand().as<T>(), gr, f,
                                 false);
        bias_gelu_backward<T>(q, kind, r.count, f, ar, r.fc1_bias->value.as<Real<T>>(), gr, gr,
                              tape.grad(r.fc1_bias, &ignored).as<Real<T>>());
        if (dx)
          linear_backward_input<T>(q, r.count, d, f, gr, f, r.fc1_weight->operand().as<T>(),
                                   dx.slice(r.begin, r.count).as<T>(), d, add);
        if (trained)
          linear_backward_weight<T>(q, r.count, d, f, x->value.slice(r.begin, r.count).as<T>(), d,
                                    gr, f, tape.grad(r.fc1_weight, &ignored).as<Real<T>>(),
                                    nullptr);
      }
      tape.free(g);
      if (!keep) tape.free(hidden);
    });
  });
  return y;
}

}  // namespace mome
