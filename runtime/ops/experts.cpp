#include "kernels/linear/linear.h"
#include "runtime/ops/ops.h"

namespace mome {
namespace {

/// The range with the fewest rows (the texts', mostly) if there are two or more with any; else -1. Its products leave most of a
/// large GPU idle, so they run on the side queue beside the others'. Ranges share nothing but what they read.
int smallest_of_several(const std::vector<ExpertRange>& ranges) {
  int smallest = -1, filled = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].count == 0) continue;
    ++filled;
    if (smallest < 0 || ranges[i].count < ranges[size_t(smallest)].count) smallest = int(i);
  }
  return filled > 1 ? smallest : -1;
}

/// Calls f(range, queue) for each filled range; the side queue's work starts after what `queue` holds, and what comes next on
/// `queue` starts after it.
template <class Queue, class F>
void for_ranges(Device& device, Queue& queue, const std::vector<ExpertRange>& ranges, F&& f) {
  Queue& side = device.side(queue);
  const int aside = &side == &queue ? -1 : smallest_of_several(ranges);
  if constexpr (requires { queue.wait(side.record()); }) {
    if (aside >= 0) side.wait(queue.record());
  }
  for (size_t i = 0; i < ranges.size(); ++i)
    if (ranges[i].count > 0) f(ranges[i], int(i) == aside ? side : queue);
  if constexpr (requires { queue.wait(side.record()); }) {
    if (aside >= 0) queue.wait(side.record());
  }
}

}  // namespace

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
  dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
    for_ranges(tape.device(), queue, ranges, [&](const ExpertRange& r, auto& q) {
      T *ar = a.slice(r.begin, r.count).as<T>(), *gr = g.slice(r.begin, r.count).as<T>();
      linear_forward<T>(q, r.count, d, f, x->value.slice(r.begin, r.count).as<T>(), d,
                        r.fc1_weight->operand().as<T>(), nullptr, ar, f);
      bias_gelu_forward<T>(q, kind, r.count, f, ar, r.fc1_bias->value.as<Real<T>>(), gr);
      linear_forward<T>(q, r.count, f, d, gr, f, r.fc2_weight->operand().as<T>(),
                        r.fc2_bias->value.as<Real<T>>(), y->value.slice(r.begin, r.count).as<T>(),
                        d);
    });
  });
  tape.free(g);
  const bool keep = tape.wants(y) && !recompute;
  if (!keep) tape.free(a);
  if (!tape.wants(y)) return y;
  tape.record({y}, keep ? std::vector<Tensor>{a} : std::vector<Tensor>{}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
      bool add = false, ignored = false;
      Tensor dx = tape.grad(x, &add);
      Tensor hidden = keep ? a : tape.scratch(rows, f, dtype);
      Tensor g = tape.scratch(rows, f, dtype);
      for_ranges(tape.device(), queue, ranges, [&](const ExpertRange& r, auto& q) {
        const bool trained = r.fc1_weight->needs_grad;
        if (!dx && !trained) return;
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
      });
      tape.free(g);
      if (!keep) tape.free(hidden);
    });
  });
  return y;
}

}  // namespace mome
