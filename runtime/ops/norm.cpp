#include "kernels/layer_norm/layer_norm.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/residual_norm/residual_norm.h"
#include "runtime/ops/ops.h"

namespace mome {

Var* layer_norm(Tape& tape, Var* x, Var* weight, Var* bias, double eps) {
  const int64_t rows = x->rows(), width = x->cols();
  const DType dtype = x->value.dtype;
  Var* y = tape.output(rows, width, dtype, {x, weight, bias});
  Tensor mean = tape.scratch(1, rows, real_dtype(dtype)),
         rstd = tape.scratch(1, rows, real_dtype(dtype));
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    using R = Real<T>;
    layer_norm_forward<T>(q, rows, width, x->value.as<T>(), weight->value.as<R>(),
                          bias->value.as<R>(), R(eps), y->value.as<T>(), mean.as<R>(),
                          rstd.as<R>());
  });
  if (!tape.wants(y)) {
    tape.free(mean);
    tape.free(rstd);
    return y;
  }
  tape.record({y}, {mean, rstd}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      using R = Real<T>;
      bool add = false, ignored = false;
      Tensor dw = tape.grad(weight, &ignored), db = tape.grad(bias, &ignored);
      Tensor dx = tape.grad(x, &add);
      // Parameters trained above a frozen input still need the pass; its dx then overwrites dy,
      // which nobody reads again.
      if (!dx) dx = y->grad, add = false;
      layer_norm_backward<T>(q, rows, width, x->value.as<T>(), weight->value.as<R>(), mean.as<R>(),
                             rstd.as<R>(), y->grad.as<T>(), dx.as<T>(), add, dw.as<R>(),
                             db.as<R>());
    });
  });
  return y;
}

ResidualOut residual_norm(Tape& tape, Var* x, Var* h, Var* gamma, Tensor row_scale,
                          const std::vector<NormRange>& ranges, double eps) {
  const int64_t rows = x->rows(), width = x->cols();
  MOME_CHECK(h->rows() == rows && h->cols() == width);
  const DType dtype = x->value.dtype;
  const bool norm = !ranges.empty();
  ResidualOut out;
  out.y = tape.output(rows, width, dtype, {x, h, gamma});
  if (norm) {
    bool norm_grad = false;
    for (const NormRange& r : ranges)
      norm_grad = norm_grad || r.weight->needs_grad || r.bias->needs_grad;
    out.n = tape.output(rows, width, dtype, {out.y});
    out.n->needs_grad = out.n->needs_grad || (norm_grad && tape.recording());
  }
  Var *y = out.y, *n = out.n;
  Tensor mean, rstd;
  if (norm)
    mean = tape.scratch(rows, 1, real_dtype(dtype)),
    rstd = tape.scratch(rows, 1, real_dtype(dtype));
  // Without a norm the whole matrix is one range.
  const std::vector<NormRange> parts =
      norm ? ranges : std::vector<NormRange>{{0, rows, nullptr, nullptr}};
  const auto part_args = [=]<class T>(const NormRange& r) {
    using R = Real<T>;
    ResidualNorm<T> a;
    a.rows = r.count;
    a.width = width;
    a.gamma = gamma ? gamma->value.as<R>() : nullptr;
    a.row_scale = row_scale ? row_scale.as<R>() + r.begin : nullptr;
    a.weight = r.weight ? r.weight->value.as<R>() : nullptr;
    a.bias = r.bias ? r.bias->value.as<R>() : nullptr;
    a.eps = R(eps);
    return a;
  };
  const auto part = []<class T>(Tensor t, const NormRange& r) -> T* {
    return t ? t.slice(r.begin, r.count).as<T>() : nullptr;
  };
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    for (const NormRange& r : parts)
      residual_norm_forward<T>(
          q, part_args.template operator()<T>(r), part.template operator()<T>(x->value, r),
          part.template operator()<T>(h->value, r), part.template operator()<T>(y->value, r),
          norm ? part.template operator()<T>(n->value, r) : nullptr,
          part.template operator()<Real<T>>(mean, r), part.template operator()<Real<T>>(rstd, r));
  });
  const bool wanted = tape.wants(y) || (n && tape.wants(n));
  if (!wanted) {
    tape.free(mean);
    tape.free(rstd);
    return out;
  }
  std::vector<Tensor> saved;
  if (norm) saved = {mean, rstd};
  const auto backward = [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      // n may be unread (a stream that ends here): then only dy comes through.
      const bool with_norm = n && n->grad;
      // The residual stream's gradient is one buffer that travels down: dy becomes dx in place.
      Tensor dy = y->grad, dx;
      bool add = false;
      if (dy && tape.move_grad(y, x))
        dx = x->grad;
      else if (!x->grad && x->needs_grad)
        dx = tape.grad(x, &add);
      else
        dx = tape.scratch(rows, width, dtype);
      const bool borrowed = dx.data != x->grad.data;
      Tensor dh = tape.grad(h, &add);
      MOME_CHECK(!add);  // a branch output has one reader: this operation
      Tensor dgamma = gamma ? tape.grad(gamma, &add) : Tensor{};
      for (const NormRange& r : parts) {
        ResidualNorm<T> a = part_args.template operator()<T>(r);
        if (!with_norm) a.weight = nullptr, a.bias = nullptr;
        Tensor dw = with_norm ? tape.grad(r.weight, &add) : Tensor{};
        Tensor db = with_norm ? tape.grad(r.bias, &add) : Tensor{};
        residual_norm_backward<T>(
            q, a, part.template operator()<T>(h->value, r),
            part.template operator()<T>(y->value, r), part.template operator()<Real<T>>(mean, r),
            part.template operator()<Real<T>>(rstd, r), part.template operator()<T>(dy, r),
            with_norm ? part.template operator()<T>(n->grad, r) : nullptr,
            part.template operator()<T>(dx, r), part.template operator()<T>(dh, r),
            dgamma.as<Real<T>>(), dw.as<Real<T>>(), db.as<Real<T>>());
      }
      if (borrowed) {
        if (x->needs_grad) {  // x had other readers already
          Tensor target = tape.grad(x, &add);
          if (add)
            mome::add<T>(q, target.count(), dx.as<T>(), target.as<T>());
          else
            q.copy(target.data, dx.data, target.bytes());
        }
        tape.free(dx);
      }
    });
  };
  if (n)
    tape.record({y, n}, saved, backward);
  else
    tape.record({y}, saved, backward);
  return out;
}

}  // namespace mome
