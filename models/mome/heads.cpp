// Heads on the final states: masked words, masked patches, matching, contrast.
#include "models/mome/model.h"

namespace mome {

Var* MomeModel::mlm_logits(Tape& tape, Var* states, const GatherPlan& rows) {
  Var* x = gather_rows(tape, states, rows);
  x = gelu(tape, linear(tape, x, on(tape, mlm_dense_), on(tape, mlm_dense_bias_)), Gelu::kErf);
  x = layer_norm(tape, x, on(tape, mlm_norm_), on(tape, mlm_norm_bias_), 1e-12);
  return linear(tape, x, on(tape, mlm_decoder_), on(tape, mlm_bias_));
}

Var* MomeModel::mim_output(Tape& tape, Var* states, const GatherPlan& rows) {
  return linear(tape, gather_rows(tape, states, rows), on(tape, mim_weight_), on(tape, mim_bias_));
}

Var* MomeModel::itm_logits(Tape& tape, Var* states, const GatherPlan& text_cls) {
  Var* x = gather_rows(tape, states, text_cls);
  x = tanh(tape, linear(tape, x, on(tape, pooler_weight_), on(tape, pooler_bias_)));
  return linear(tape, x, on(tape, itm_weight_), on(tape, itm_bias_));
}

Var* MomeModel::itc_features(Tape& tape, Var* pooled, bool image, bool tail) {
  const int weight = tail ? (image ? itc_vl_image_ : itc_vl_text_) : (image ? itc_image_ : itc_text_);
  MOME_CHECK(weight >= 0);
  return l2_normalize(tape, linear(tape, pooled, on(tape, weight), nullptr));
}

Var* MomeModel::logit_scale(Tape& tape, bool tail) { return on(tape, tail ? vl_scale_ : scale_); }

}  // namespace mome
