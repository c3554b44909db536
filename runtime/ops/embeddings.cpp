#include "kernels/linear/linear.h"
#include "kernels/patch_embedding/patch_embedding.h"
#include "kernels/text_embedding/text_embedding.h"
#include "runtime/ops/ops.h"

namespace mome {

namespace {

/// Uploads sorted rows to memory that a node keeps: int32 [key | begin | row].
Tensor upload(Tape& tape, const SortedRows& s) {
  std::vector<int32_t> all = s.key;
  all.insert(all.end(), s.begin.begin(), s.begin.end());
  all.insert(all.end(), s.row.begin(), s.row.end());
  Tensor t = tape.scratch(1, int64_t(all.size()), DType::kI32);
  tape.device().upload(t.data, all.data(), t.bytes());
  return t;
}
SortedRowsView view(const Tensor& t, int64_t keys) {
  const int32_t* key = t.as<int32_t>();
  return {keys, key, key + keys, key + 2 * keys + 1};
}

}  // namespace

Var* text_embedding(Tape& tape, Var* word, Var* type, Var* position, const std::vector<int32_t>& token,
                    const std::vector<int32_t>& pos, int32_t pad, DType dtype) {
  const int64_t rows = int64_t(token.size()), width = word->cols();
  Var* e = tape.output(rows, width, dtype, {word, type, position});
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    using R = Real<T>;
    text_embedding_forward<T>(q, rows, width, tape.on_device(token), tape.on_device(pos), word->value.as<R>(), type->value.as<R>(),
                              position ? position->value.as<R>() : nullptr, e->value.as<T>());
  });
  if (!tape.wants(e)) return e;
  const bool words = word->needs_grad, places = position && position->needs_grad;
  const SortedRows by_token = words ? sort_rows(token, pad) : SortedRows{}, by_pos = places ? sort_rows(pos) : SortedRows{};
  const Tensor t = words ? upload(tape, by_token) : Tensor{}, p = places ? upload(tape, by_pos) : Tensor{};
  const int64_t tokens = int64_t(by_token.key.size()), positions = int64_t(by_pos.key.size());
  tape.record({e}, {t, p}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      using R = Real<T>;
      bool add = false;
      text_embedding_backward<T>(q, rows, width, words ? view(t, tokens) : SortedRowsView{},
                                 places ? view(p, positions) : SortedRowsView{}, e->grad.as<T>(), tape.grad(word, &add).as<R>(),
                                 tape.grad(type, &add).as<R>(), position ? tape.grad(position, &add).as<R>() : nullptr);
    });
  });
  return e;
}

Var* patch_embedding(Tape& tape, Var* proj, int64_t batch, int64_t patches, Var* cls, Var* position, Var* type,
                     const std::vector<uint8_t>* masked, Var* mask_token) {
  const int64_t width = proj->cols();
  MOME_CHECK(proj->rows() == batch * patches);
  const DType dtype = proj->value.dtype;
  Var* x = tape.output(batch * (patches + 1), width, dtype, {proj, cls, position, type, masked ? mask_token : nullptr});
  const uint8_t* mask = masked ? tape.on_device(*masked) : nullptr;
  dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
    using R = Real<T>;
    patch_embedding_forward<T>(q, batch, patches, width, proj->value.as<T>(), mask, mask ? mask_token->value.as<R>() : nullptr,
                               cls->value.as<R>(), position ? position->value.as<R>() : nullptr, type->value.as<R>(),
                               x->value.as<T>());
  });
  if (!tape.wants(x)) return x;
  tape.record({x}, {}, [=, &tape] {
    dispatch(tape.device(), dtype, [&]<class T>(auto& q) {
      using R = Real<T>;
      bool add = false;
      T* dproj = tape.grad(proj, &add).as<T>();
      MOME_CHECK(!dproj || !add);
      const auto grad = [&](Var* v) { return v ? tape.grad(v, &add).as<R>() : nullptr; };
      patch_embedding_backward<T>(q, batch, patches, width, mask, x->grad.as<T>(), dproj, mask ? grad(mask_token) : nullptr,
                                  grad(cls), grad(position), grad(type));
    });
  });
  return x;
}

}  // namespace mome
