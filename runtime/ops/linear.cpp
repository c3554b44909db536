#include "kernels/linear/linear.h"

#include <type_traits>

#include "kernels/common/gemm.h"
#include "kernels/common/scaled_copy.h"
#include "runtime/ops/ops.h"

namespace mome {

Var* linear(Tape& tape, Var* x, Var* weight, Var* bias) {
  const int64_t rows = x->rows(), in = x->cols(), out = weight->rows();
  MOME_CHECK(weight->cols() == in && (!bias || bias->cols() == out));
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, out, dtype, {x, weight, bias});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    linear_forward<T>(q, rows, in, out, x->value.as<T>(), in, weight->operand().as<T>(),
                      bias ? bias->value.as<Real<T>>() : nullptr, y->value.as<T>(), out);
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      const T* dy = y->grad.as<T>();
      bool add = false;
      if (Tensor dx = tape.grad(x, &add))
        linear_backward_input<T>(q, rows, in, out, dy, out, weight->operand().as<T>(), dx.as<T>(), in, add);
      Tensor dw = tape.grad(weight, &add), db = bias ? tape.grad(bias, &add) : Tensor{};
      linear_backward_weight<T>(q, rows, in, out, x->value.as<T>(), in, dy, out, dw.as<Real<T>>(), db.as<Real<T>>());
    });
  });
  return y;
}

Var* qkv_linear(Tape& tape, Var* x, Var* weight, Var* q_bias, Var* v_bias, int first, int parts) {
  const int64_t rows = x->rows(), d = x->cols(), out = d * parts;
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, out, dtype, {x, weight, q_bias, v_bias});
  const bool has_q = first == 0, has_v = first + parts == 3;
  Tensor bias = tape.arena().zeros(1, out, real_dtype(dtype));
  const Tensor w = weight->operand().slice(first * d, out);
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    Real<T>* const b = bias.as<Real<T>>();
    if (has_q) q.copy(b, q_bias->value.as<Real<T>>(), size_t(d) * sizeof(Real<T>));
    if (has_v) q.copy(b + out - d, v_bias->value.as<Real<T>>(), size_t(d) * sizeof(Real<T>));
    linear_forward<T>(q, rows, d, out, x->value.as<T>(), d, w.as<T>(), b, y->value.as<T>(), out);
  });
  if (!tape.wants(y)) {
    tape.free(bias);
    return y;
  }
  tape.record({y}, {bias}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      const T* dy = y->grad.as<T>();
      bool add = false;
      if (Tensor dx = tape.grad(x, &add))
        linear_backward_input<T>(q, rows, d, out, dy, out, w.as<T>(), dx.as<T>(), d, add);
      if (Tensor dw = tape.grad(weight, &add))
        linear_backward_weight<T>(q, rows, d, out, x->value.as<T>(), d, dy, out, dw.slice(first * d, out).as<Real<T>>(), nullptr);
      if (Tensor db = has_q ? tape.grad(q_bias, &add) : Tensor{}) column_sums<T>(q, rows, d, dy, out, db.as<Real<T>>());
      if (Tensor db = has_v ? tape.grad(v_bias, &add) : Tensor{})
        column_sums<T>(q, rows, d, dy + out - d, out, db.as<Real<T>>());
    });
  });
  return y;
}

Var* similarity(Tape& tape, Var* x, Var* y) {
  const int64_t n = x->rows(), m = y->rows(), d = x->cols();
  MOME_CHECK(y->cols() == d);
  const DType dtype = x->value.dtype;
  // In Real<T>: a softmax over products of unit vectors times a large scale wants more digits than 16 bits have.
  Var* s = tape.output(n, m, real_dtype(dtype), {x, y});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    gemm<T>(q, Trans::kNo, Trans::kYes, n, m, d, 1, x->value.as<T>(), d, y->value.as<T>(), d, 0, s->value.as<Real<T>>(), m);
  });
  if (!tape.wants(s)) return s;
  tape.record({s}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      // The products take operands of one type: ds is rounded to T, as every gradient of an activation is.
      Tensor rounded;
      const T* ds = nullptr;
      if constexpr (std::is_same_v<T, Real<T>>) {
        ds = s->grad.as<T>();
      } else {
        rounded = tape.scratch(n, m, dtype);
        scaled_copy(q, n, m, 1, s->grad.as<Real<T>>(), m, rounded.as<T>(), m);
        ds = rounded.as<T>();
      }
      bool add = false;
      if (Tensor dx = tape.grad(x, &add))
        gemm<T>(q, Trans::kNo, Trans::kNo, n, d, m, 1, ds, m, y->value.as<T>(), d, add, dx.as<T>(), d);
      if (Tensor dy = tape.grad(y, &add))
        gemm<T>(q, Trans::kYes, Trans::kNo, m, d, n, 1, ds, m, x->value.as<T>(), d, add, dy.as<T>(), d);
      if (rounded) tape.free(rounded);
    });
  });
  return s;
}

}  // namespace mome
