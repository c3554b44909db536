#include "kernels/relative_bias/relative_bias.h"

#include "runtime/ops/ops.h"

namespace mome {

Var* relative_bias(Tape& tape, Var* table, const RelativeIndex& index, int64_t layer,
                   int64_t heads) {
  const DType dtype = table->value.dtype;
  MOME_CHECK(dtype == real_dtype(dtype));
  MOME_CHECK(table->rows() == index.table_rows && table->cols() >= (layer + 1) * heads);
  Var* bias = tape.output(heads, index.size * index.size, dtype, {table});
  dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
    using R = Real<T>;
    const RelativeIndexView view{index.size, index.table_rows, tape.on_device(index.index)};
    relative_bias_forward<R>(queue, view, table->value.as<R>(), table->cols(), layer * heads, heads,
                             bias->value.as<R>());
  });
  if (!tape.wants(bias)) return bias;
  tape.record({bias}, {}, [=, &tape, &index] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
      using R = Real<T>;
      bool add = false;
      const RelativeIndexView view{index.size, index.table_rows, nullptr,
                                   tape.on_device(index.begin), tape.on_device(index.inverse)};
      relative_bias_backward<R>(queue, view, bias->grad.as<R>(), heads,
                                tape.grad(table, &add).as<R>(), table->cols(), layer * heads);
    });
  });
  return bias;
}

}  // namespace mome
