#include "kernels/linear/linear.h"

#include <cstring>

#include "kernels/common/gemm.h"
#include "runtime/ops/ops.h"

namespace mome {

Var* linear(Tape& tape, Var* x, Var* weight, Var* bias) {
  const int64_t rows = x->rows(), in = x->cols(), out = weight->rows();
  MOME_CHECK(weight->cols() == in && (!bias || bias->cols() == out));
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, out, dtype, {x, weight, bias});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    linear_forward<T>(q, rows, in, out, x->value.as<T>(), in, weight->value.as<T>(),
                      bias ? bias->value.as<T>() : nullptr, y->value.as<T>(), out);
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      const T* dy = y->grad.as<T>();
      bool add = false;
      if (Tensor dx = tape.grad(x, &add))
        linear_backward_input<T>(q, rows, in, out, dy, out, weight->value.as<T>(), dx.as<T>(), in, add);
      Tensor dw = tape.grad(weight, &add), db = bias ? tape.grad(bias, &add) : Tensor{};
      linear_backward_weight<T>(q, rows, in, out, x->value.as<T>(), in, dy, out, dw.as<T>(), db.as<T>());
    });
  });
  return y;
}

Var* qkv_linear(Tape& tape, Var* x, Var* weight, Var* q_bias, Var* v_bias, int first, int parts) {
  const int64_t rows = x->rows(), d = x->cols(), out = d * parts;
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, out, dtype, {x, weight, q_bias, v_bias});
  const bool has_q = first == 0, has_v = first + parts == 3;
  Tensor bias = tape.arena().zeros(1, out, dtype);
  const Tensor w = weight->value.slice(first * d, out);
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    if (has_q) std::memcpy(bias.as<T>(), q_bias->value.as<T>(), size_t(d) * sizeof(T));
    if (has_v) std::memcpy(bias.as<T>() + out - d, v_bias->value.as<T>(), size_t(d) * sizeof(T));
    linear_forward<T>(q, rows, d, out, x->value.as<T>(), d, w.as<T>(), bias.as<T>(), y->value.as<T>(), out);
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
        linear_backward_weight<T>(q, rows, d, out, x->value.as<T>(), d, dy, out, dw.slice(first * d, out).as<T>(), nullptr);
      if (Tensor db = has_q ? tape.grad(q_bias, &add) : Tensor{}) column_sums<T>(q, rows, d, dy, out, db.as<T>());
      if (Tensor db = has_v ? tape.grad(v_bias, &add) : Tensor{})
        column_sums<T>(q, rows, d, dy + out - d, out, db.as<T>());
    });
  });
  return y;
}

Var* similarity(Tape& tape, Var* x, Var* y) {
  const int64_t n = x->rows(), m = y->rows(), d = x->cols();
  MOME_CHECK(y->cols() == d);
  const DType dtype = x->value.dtype;
  Var* s = tape.output(n, m, dtype, {x, y});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    gemm<T>(q, Trans::kNo, Trans::kYes, n, m, d, 1, x->value.as<T>(), d, y->value.as<T>(), d, 0, s->value.as<T>(), m);
  });
  if (!tape.wants(s)) return s;
  tape.record({s}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      const T* ds = s->grad.as<T>();
      bool add = false;
      if (Tensor dx = tape.grad(x, &add))
        gemm<T>(q, Trans::kNo, Trans::kNo, n, d, m, 1, ds, m, y->value.as<T>(), d, add, dx.as<T>(), d);
      if (Tensor dy = tape.grad(y, &add))
        gemm<T>(q, Trans::kYes, Trans::kNo, m, d, n, 1, ds, m, x->value.as<T>(), d, add, dy.as<T>(), d);
    });
  });
  return s;
}

}  // namespace mome
