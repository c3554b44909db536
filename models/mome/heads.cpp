// Heads on the final states: masked words, masked patches, matching, contrast, and those of downstream tasks.
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

Var* MomeModel::pooled(Tape& tape, Var* states, const GatherPlan& text_cls) {
  MOME_CHECK(pooler_weight_ >= 0);
  Var* x = gather_rows(tape, states, text_cls);
  return tanh(tape, linear(tape, x, on(tape, pooler_weight_), on(tape, pooler_bias_)));
}

Var* MomeModel::itm_logits(Tape& tape, Var* states, const GatherPlan& text_cls) {
  return linear(tape, pooled(tape, states, text_cls), on(tape, itm_weight_), on(tape, itm_bias_));
}

Var* MomeModel::classify(Tape& tape, const Classifier& head, Var* x) {
  MOME_CHECK(head.in_weight >= 0);
  x = linear(tape, x, on(tape, head.in_weight), on(tape, head.in_bias));
  x = layer_norm(tape, x, on(tape, head.norm_weight), on(tape, head.norm_bias), 1e-5);
  return linear(tape, gelu(tape, x, Gelu::kErf), on(tape, head.out_weight), on(tape, head.out_bias));
}

Var* MomeModel::vqa_logits(Tape& tape, Var* states, const GatherPlan& text_cls) {
  return classify(tape, vqa_, pooled(tape, states, text_cls));
}

Var* MomeModel::entailment_logits(Tape& tape, Var* states, const GatherPlan& text_cls) {
  return classify(tape, entailment_, pooled(tape, states, text_cls));
}

Var* MomeModel::nlvr2_logits(Tape& tape, Var* states, const GatherPlan& text_cls) {
  Var* x = pooled(tape, states, text_cls);
  return classify(tape, nlvr2_, reshaped(x, x->rows() / 2, 2 * x->cols()));
}

Var* MomeModel::image_logits(Tape& tape, Var* raw, const Segments& patches) {
  MOME_CHECK(image_head_weight_ >= 0);
  Var* x = segment_mean(tape, raw, patches);
  x = layer_norm(tape, x, on(tape, fc_norm_weight_), on(tape, fc_norm_bias_), 1e-6);
  return linear(tape, x, on(tape, image_head_weight_), on(tape, image_head_bias_));
}

Var* MomeModel::itc_features(Tape& tape, Var* pooled, bool image, bool tail) {
  const int weight = tail ? (image ? itc_vl_image_ : itc_vl_text_) : (image ? itc_image_ : itc_text_);
  MOME_CHECK(weight >= 0);
  return l2_normalize(tape, linear(tape, pooled, on(tape, weight), nullptr));
}

Var* MomeModel::logit_scale(Tape& tape, bool tail) { return on(tape, tail ? vl_scale_ : scale_); }

}  // namespace mome
