#include <cmath>

#include "kernels/dropout/dropout.h"
#include "runtime/ops/ops.h"

namespace mome {

Var* gelu(Tape& tape, Var* x, Gelu kind) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) { bias_gelu_forward<T>(q, kind, rows, width, x->value.as<T>(), nullptr, y->value.as<T>()); });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      bias_gelu_backward<T>(q, kind, rows, width, x->value.as<T>(), nullptr, y->grad.as<T>(), dx.as<T>(), nullptr);
    });
  });
  return y;
}

// Only the pooler uses it, on one row a pair: too small to be worth a kernel of its own.
Var* tanh(Tape& tape, Var* x) {
  const DType dtype = x->value.dtype;
  Var* y = tape.output(x->rows(), x->cols(), dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    const T* in = x->value.as<T>();
    T* out = y->value.as<T>();
    for (int64_t i = 0; i < x->value.count(); ++i) out[i] = std::tanh(in[i]);
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      const T *out = y->value.as<T>(), *dy = y->grad.as<T>();
      T* d = dx.as<T>();
      for (int64_t i = 0; i < dx.count(); ++i) d[i] = dy[i] * (1 - out[i] * out[i]);
    });
  });
  return y;
}

Var* dropout(Tape& tape, Var* x, double p, uint64_t seed, uint64_t step, uint64_t stream) {
  if (p <= 0) return x;
  const int64_t count = x->value.count();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(x->rows(), x->cols(), dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) { mome::dropout<T>(q, count, x->value.as<T>(), p, seed, step, stream, y->value.as<T>()); });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      mome::dropout<T>(q, count, y->grad.as<T>(), p, seed, step, stream, dx.as<T>());
    });
  });
  return y;
}

}  // namespace mome
