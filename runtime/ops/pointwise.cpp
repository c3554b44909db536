#include "kernels/pointwise/pointwise.h"

#include "kernels/common/scaled_copy.h"
#include "kernels/dropout/dropout.h"
#include "kernels/linear/linear.h"
#include "runtime/ops/ops.h"

namespace mome {

Var* gelu(Tape& tape, Var* x, Gelu kind) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    bias_gelu_forward<T>(q, kind, rows, width, x->value.as<T>(), nullptr, y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      bias_gelu_backward<T>(q, kind, rows, width, x->value.as<T>(), nullptr, y->grad.as<T>(),
                            dx.as<T>(), nullptr);
    });
  });
  return y;
}

Var* tanh(Tape& tape, Var* x) {
  const DType dtype = x->value.dtype;
  Var* y = tape.output(x->rows(), x->cols(), dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    tanh_forward<T>(q, x->value.count(), x->value.as<T>(), y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      tanh_backward<T>(q, y->value.count(), y->value.as<T>(), y->grad.as<T>(), dx.as<T>());
    });
  });
  return y;
}

Var* dropout(Tape& tape, Var* x, const std::vector<int64_t>& row, double p, uint64_t seed, uint64_t step, uint64_t stream) {
  if (p <= 0) return x;
  MOME_CHECK(int64_t(row.size()) == x->rows());
  const int64_t rows = x->rows(), width = x->cols();
  const int64_t* draws = tape.on_device(row);
  const DType dtype = x->value.dtype;
  Var* y = tape.output(x->rows(), x->cols(), dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    mome::dropout<T>(q, rows, width, draws, x->value.as<T>(), p, seed, step, stream, y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      MOME_CHECK(!add);
      mome::dropout<T>(q, rows, width, draws, y->grad.as<T>(), p, seed, step, stream, dx.as<T>());
    });
  });
  return y;
}

Var* scale_gradient(Tape& tape, Var* x, double factor) {
  if (factor == 1 || !tape.wants(x)) return x;
  Var* y = tape.view(x);
  const int64_t rows = x->rows(), width = x->cols();
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), x->value.dtype, [&]<class T>(auto& q) {
      T* g = y->grad.as<T>();
      scaled_copy(q, rows, width, factor, g, width, g, width);
      if (tape.move_grad(y, x)) return;
      bool added = false;
      Tensor dx = tape.grad(x, &added);
      MOME_CHECK(added);  // x has another reader, or is a leaf
      add<T>(q, rows * width, g, dx.as<T>());
    });
  });
  return y;
}

Var* add_row(Tape& tape, Var* x, Var* row) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x, row});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    mome::add_row<T>(q, rows, width, x->value.as<T>(), row->value.as<Real<T>>(), y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      if (Tensor dr = tape.grad(row, &add))
        column_sums<T>(q, rows, width, y->grad.as<T>(), width, dr.as<Real<T>>());
      if (!tape.move_grad(y, x) && x->needs_grad)
        throw std::logic_error("add_row: x has another reader");
    });
  });
  return y;
}

}  // namespace mome
