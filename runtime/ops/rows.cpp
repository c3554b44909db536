#include "kernels/rows/rows.h"

#include "runtime/ops/ops.h"

namespace mome {

GatherPlan make_gather(int64_t source_rows, std::vector<int32_t> index) {
  GatherPlan plan;
  plan.inverse = invert_gather(source_rows, index);
  plan.identity = int64_t(index.size()) == source_rows;
  for (size_t i = 0; i < index.size() && plan.identity; ++i) plan.identity = index[i] == int32_t(i);
  plan.index = std::move(index);
  return plan;
}

Var* gather_rows(Tape& tape, Var* x, const GatherPlan& plan) {
  if (plan.identity) return x;
  const int64_t rows = int64_t(plan.index.size()), width = x->cols(), source = x->rows();
  MOME_CHECK(int64_t(plan.inverse.begin.size()) == source + 1);
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    gather_rows_forward<T>(q, rows, width, x->value.as<T>(), tape.on_device(plan.index), y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  const GatherPlan* p = &plan;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      gather_rows_backward<T>(q, source, width, tape.on_device(p->inverse.begin), tape.on_device(p->inverse.reader), y->grad.as<T>(), dx.as<T>(), add);
    });
  });
  return y;
}

Var* reshaped(Var* x, int64_t rows, int64_t cols) {
  MOME_CHECK(rows * cols == x->value.count() && !x->leaf && !x->grad);
  x->value.rows = rows;
  x->value.cols = cols;
  return x;
}

Var* concat_rows(Tape& tape, Var* a, Var* b) {
  MOME_CHECK(a->cols() == b->cols());
  const int64_t width = a->cols();
  Var* y = tape.output(a->rows() + b->rows(), width, a->value.dtype, {a, b});
  tape.device().copy(y->value.data, a->value.data, a->value.bytes());
  tape.device().copy(y->value.slice(a->rows(), b->rows()).data, b->value.data, b->value.bytes());
  if (!tape.wants(y)) return y;
  tape.record({y}, {}, [=, &tape] {
    int64_t begin = 0;
    for (Var* part : {a, b}) {
      bool add = false;
      const Tensor from = y->grad.slice(begin, part->rows());
      begin += part->rows();
      if (Tensor to = tape.grad(part, &add)) {
        MOME_CHECK(!add);
        tape.device().copy(to.data, from.data, from.bytes());
      }
    }
  });
  return y;
}

Var* segment_mean(Tape& tape, Var* x, const Segments& segments) {
  const int64_t n = int64_t(segments.begin.size()), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(n, width, dtype, {x});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    segment_mean_forward<T>(q, n, width, tape.on_device(segments.begin), tape.on_device(segments.count), x->value.as<T>(), y->value.as<T>());
  });
  if (!tape.wants(y)) return y;
  const Segments* s = &segments;
  tape.record({y}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      bool add = false;
      Tensor dx = tape.grad(x, &add);
      if (!add) q.fill(dx.data, 0, dx.bytes());
      segment_mean_backward<T>(q, n, width, tape.on_device(s->begin), tape.on_device(s->count), y->grad.as<T>(), dx.as<T>());
    });
  });
  return y;
}

}  // namespace mome
