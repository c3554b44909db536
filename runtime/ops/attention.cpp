#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "runtime/ops/ops.h"

namespace mome {
namespace {

template <class T>
AttentionArgs<T> arguments(Tape& tape, const Var* q, const Var* kv, const AttentionRows& rows, int64_t heads, const Var* bias, bool causal) {
  const bool fused = !kv;  // one matrix [R, 3D]
  const int64_t d = fused ? q->cols() / 3 : q->cols();
  AttentionArgs<T> a;
  a.sequences = int64_t(rows.sequences.size());
  a.sequence = tape.on_device(rows.sequences);
  a.q_position = tape.on_device(rows.q_position);
  for (const AttentionSequence& s : rows.sequences) {
    a.max_q = std::max<int64_t>(a.max_q, s.q_count[0] + s.q_count[1]);
    a.max_k = std::max<int64_t>(a.max_k, s.k_count[0] + s.k_count[1]);
  }
  a.heads = heads;
  a.head_dim = d / heads;
  a.scale = Real<T>(1 / std::sqrt(double(a.head_dim)));
  a.q = q->value.as<T>();
  a.ldq = q->cols();
  a.k = fused ? a.q + d : kv->value.as<T>();
  a.v = a.k + d;
  a.ldk = a.ldv = fused ? a.ldq : kv->cols();
  if (bias) {
    a.bias = bias->value.as<Real<T>>();
    a.bias_size = int64_t(std::llround(std::sqrt(double(bias->cols()))));
  }
  a.causal = causal;
  return a;
}

}  // namespace

Var* attention(Tape& tape, Var* q, Var* kv, const AttentionRows& rows, int64_t heads, Var* bias, bool causal) {
  const DType dtype = q->value.dtype;
  const int64_t d = kv ? q->cols() : q->cols() / 3;
  Var* out = tape.output(q->rows(), d, dtype, {q, kv, bias});
  Tensor lse = tape.scratch(q->rows(), heads, real_dtype(dtype));
  dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
    attention_forward<T>(queue, arguments<T>(tape, q, kv, rows, heads, bias, causal), out->value.as<T>(), d, lse.as<Real<T>>());
  });
  if (!tape.wants(out)) {
    tape.free(lse);
    return out;
  }
  const AttentionRows* r = &rows;
  tape.record({out}, {lse}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& queue) {
      bool add = false;
      const AttentionArgs<T> a = arguments<T>(tape, q, kv, *r, heads, bias, causal);
      // The projection that made q, k and v is a frozen model's when they need no gradient, yet the bias may.
      const bool wants_q = q->needs_grad, wants_kv = kv ? kv->needs_grad : wants_q;
      Tensor dq = wants_q ? tape.grad(q, &add) : tape.scratch(q->rows(), q->cols(), dtype);
      MOME_CHECK(!add);
      Tensor dkv;
      if (kv) {
        dkv = wants_kv ? tape.grad(kv, &add) : tape.scratch(kv->rows(), kv->cols(), dtype);
        MOME_CHECK(!add);
      }
      Tensor dbias;
      if (bias && bias->needs_grad) {
        dbias = tape.grad(bias, &add);
        if (!add) queue.fill(dbias.data, 0, dbias.bytes());
      }
      T* dk = kv ? dkv.as<T>() : dq.as<T>() + d;
      attention_backward<T>(queue, a, out->value.as<T>(), out->grad.as<T>(), d, lse.as<Real<T>>(), dq.as<T>(), dk, dk + d, dbias.as<Real<T>>());
      if (!wants_q) tape.free(dq);
      if (kv && !wants_kv) tape.free(dkv);
    });
  });
  return out;
}

}  // namespace mome
