// The model's parameters: official names, shapes and initial values.
#include <cmath>

#include "models/mome/model.h"

namespace mome {
namespace {

// Half width of PyTorch's default uniform initialisation of a convolution with this fan-in.
double conv_bound(int64_t fan_in) { return 1 / std::sqrt(double(fan_in)); }

Gelu gelu_of(const std::string& name) {
  return name == "tanh" ? Gelu::kTanh : name == "quick" ? Gelu::kQuick : Gelu::kErf;
}

}  // namespace

Recompute recompute_of(const std::string& word, const std::string& key) {
  if (word == "none") return Recompute::kNone;
  if (word == "experts") return Recompute::kExperts;
  if (word == "blocks") return Recompute::kBlocks;
  throw UsageError(fmt::format("{} = \"{}\" is unknown; expected none, experts or blocks", key, word));
}

void check(const ModelConfig& c) {
  const auto want = [](bool ok, const char* key, const std::string& what) {
    if (!ok) fail("recipe: model.{}: {}", key, what);
  };
  want(c.patch >= 1 && c.image_size >= c.patch && c.image_size % c.patch == 0, "image_size",
       fmt::format("{} is not a multiple of the patch {}", c.image_size, c.patch));
  want(c.heads >= 1 && c.width >= 1 && c.width % c.heads == 0, "width",
       fmt::format("{} is not a multiple of {} heads", c.width, c.heads));
  want(c.layers >= 1, "layers", "at least 1 is expected");
  want(c.mlp_ratio >= 1, "mlp_ratio", "at least 1 is expected");
  want(c.vl_from >= 0, "vl_from", "0 or more is expected");
  want(c.positions == "relative" || c.positions == "absolute", "positions",
       fmt::format("\"{}\" is unknown; expected \"relative\" or \"absolute\"", c.positions));
  want(c.pool == "first" || c.pool == "mean", "pool", fmt::format("\"{}\" is unknown; expected \"first\" or \"mean\"", c.pool));
  want(c.gelu == "erf" || c.gelu == "tanh" || c.gelu == "quick", "gelu",
       fmt::format("\"{}\" is unknown; expected \"erf\", \"tanh\" or \"quick\"", c.gelu));
  want(c.text_length >= 3, "text_length", "at least 3 is expected ([CLS], a token, [SEP])");
  want(c.positions == "absolute" || c.text_length <= 196, "text_length", "relative positions reach 196 tokens");
  want(c.vocabulary >= 6, "vocabulary", "at least the five special tokens and one more are expected");
  want(c.init_std > 0, "init_std", "above 0 is expected");
  want(c.layer_scale >= 0, "layer_scale", "0 or more is expected");
  want(c.itc_dim >= 0, "itc_dim", "0 or more is expected");
}

void MomeModel::add_linear(const std::string& name, int64_t out, int64_t in, double std, int* weight, int* bias) {
  *weight = parameters_.add(name + ".weight", {out, in}, Init::kNormal, std);
  if (bias) *bias = parameters_.add(name + ".bias", {out}, Init::kZeros);
}

MomeModel::Expert MomeModel::add_expert(const std::string& prefix, const std::string& suffix) {
  const int64_t d = config_.width, f = config_.hidden();
  Expert e;
  e.norm_weight = parameters_.add(prefix + "norm2_" + suffix + ".weight", {d}, Init::kOnes);
  e.norm_bias = parameters_.add(prefix + "norm2_" + suffix + ".bias", {d}, Init::kZeros);
  e.fc1_weight = parameters_.add(prefix + "mlp_" + suffix + ".fc1.weight", {f, d}, Init::kTruncatedNormal, config_.init_std);
  e.fc1_bias = parameters_.add(prefix + "mlp_" + suffix + ".fc1.bias", {f}, Init::kZeros);
  e.fc2_weight = parameters_.add(prefix + "mlp_" + suffix + ".fc2.weight", {d, f}, Init::kTruncatedNormal, config_.init_std);
  e.fc2_bias = parameters_.add(prefix + "mlp_" + suffix + ".fc2.bias", {d}, Init::kZeros);
  return e;
}

MomeModel::Classifier MomeModel::add_classifier(const std::string& name, int64_t inputs, int64_t classes) {
  const int64_t hidden = 2 * config_.width;
  Classifier c;
  add_linear(name + ".0", hidden, inputs, config_.init_std, &c.in_weight, &c.in_bias);
  c.norm_weight = parameters_.add(name + ".1.weight", {hidden}, Init::kOnes);
  c.norm_bias = parameters_.add(name + ".1.bias", {hidden}, Init::kZeros);
  add_linear(name + ".3", classes, hidden, config_.init_std, &c.out_weight, &c.out_bias);
  return c;
}

MomeModel::MomeModel(const ModelConfig& config, const ModelParts& parts, DType dtype, Device& device)
    : config_(config), parts_(parts), parameters_(device, dtype), gelu_(gelu_of(config.gelu)) {
  check(config);
  const ModelConfig& c = config_;
  ParameterSet& p = parameters_;
  const int64_t d = c.width, fan_in = 3 * c.patch * c.patch;
  const bool relative = c.positions == "relative";
  if (relative) {
    const int64_t side = 2 * c.grid() - 1;
    table_ = p.add("relative_position_bias_table", {side * side + 397, c.heads * c.layers}, Init::kZeros);
  }
  if (parts.image) {
    cls_ = p.add("transformer.cls_token", {1, 1, d}, Init::kTruncatedNormal, config_.init_std);
    if (parts.mim) mask_token_ = p.add("transformer.mask_token", {1, 1, d}, Init::kTruncatedNormal, config_.init_std);
    if (!relative) pos_embed_ = p.add("transformer.pos_embed", {1, c.patches() + 1, d}, Init::kTruncatedNormal, config_.init_std);
    patch_weight_ = p.add("transformer.patch_embed.proj.weight", {d, 3, c.patch, c.patch}, Init::kUniform, conv_bound(fan_in));
    patch_bias_ = p.add("transformer.patch_embed.proj.bias", {d}, Init::kUniform, conv_bound(fan_in));
  }
  for (int64_t l = 0; l < c.layers; ++l) {
    const std::string pre = fmt::format("transformer.blocks.{}.", l);
    Block b;
    if (c.layer_scale > 0) {
      b.gamma1 = p.add(pre + "gamma_1", {d}, Init::kConstant, c.layer_scale);
      b.gamma2 = p.add(pre + "gamma_2", {d}, Init::kConstant, c.layer_scale);
    }
    b.norm1_weight = p.add(pre + "norm1.weight", {d}, Init::kOnes);
    b.norm1_bias = p.add(pre + "norm1.bias", {d}, Init::kZeros);
    b.q_bias = p.add(pre + "attn.q_bias", {d}, Init::kZeros);
    b.v_bias = p.add(pre + "attn.v_bias", {d}, Init::kZeros);
    b.qkv = p.add(pre + "attn.qkv.weight", {3 * d, d}, Init::kTruncatedNormal, config_.init_std);
    b.proj_weight = p.add(pre + "attn.proj.weight", {d, d}, Init::kTruncatedNormal, config_.init_std);
    b.proj_bias = p.add(pre + "attn.proj.bias", {d}, Init::kZeros);
    if (parts.image) b.vision = add_expert(pre, "imag");
    if (parts.text) b.language = add_expert(pre, "text");
    if (parts.fused && l >= c.vl_from) b.fused = add_expert(pre, "vl");
    blocks_.push_back(b);
  }
  norm_weight_ = p.add("transformer.norm.weight", {d}, Init::kOnes);
  norm_bias_ = p.add("transformer.norm.bias", {d}, Init::kZeros);
  if (parts.text) {
    word_ = p.add("text_embeddings.word_embeddings.weight", {c.vocabulary, d}, Init::kNormal, config_.init_std);
    if (!relative) text_pos_ = p.add("text_embeddings.position_embeddings.weight", {c.text_length, d}, Init::kNormal, config_.init_std);
    text_type_ = p.add("text_embeddings.token_type_embeddings.weight", {2, d}, Init::kNormal, config_.init_std);
    text_norm_weight_ = p.add("text_embeddings.LayerNorm.weight", {d}, Init::kOnes);
    text_norm_bias_ = p.add("text_embeddings.LayerNorm.bias", {d}, Init::kZeros);
  }
  type_ = p.add("token_type_embeddings.weight", {parts.nlvr2 ? 3 : 2, d}, Init::kNormal, config_.init_std);
  if (parts.mlm) {
    add_linear("mlm_score.transform.dense", d, d, config_.init_std, &mlm_dense_, &mlm_dense_bias_);
    mlm_norm_ = p.add("mlm_score.transform.LayerNorm.weight", {d}, Init::kOnes);
    mlm_norm_bias_ = p.add("mlm_score.transform.LayerNorm.bias", {d}, Init::kZeros);
    mlm_decoder_ = p.add("mlm_score.decoder.weight", {c.vocabulary, d}, Init::kNormal, config_.init_std);
    mlm_bias_ = p.add("mlm_score.bias", {c.vocabulary}, Init::kZeros);
  }
  if (parts.has_pooler()) add_linear("pooler.dense", d, d, config_.init_std, &pooler_weight_, &pooler_bias_);
  if (parts.itm) add_linear("itm_score.fc", 2, d, config_.init_std, &itm_weight_, &itm_bias_);
  if (parts.itc) {
    const double scale = std::log(1 / 0.07);
    add_linear("itc_text_proj.fc", c.features(), d, config_.init_std, &itc_text_, nullptr);
    add_linear("itc_image_proj.fc", c.features(), d, config_.init_std, &itc_image_, nullptr);
    scale_ = p.add("logit_scale", {}, Init::kConstant, scale);
    if (c.itc_tail) {
      add_linear("itc_vl_text_proj.fc", c.features(), d, config_.init_std, &itc_vl_text_, nullptr);
      add_linear("itc_vl_image_proj.fc", c.features(), d, config_.init_std, &itc_vl_image_, nullptr);
      vl_scale_ = p.add("logit_vl_scale", {}, Init::kConstant, scale);
    }
  }
  if (parts.mim)
    add_linear("mim_head", parts.mim_classes ? parts.mim_classes : fan_in, d, config_.init_std, &mim_weight_, &mim_bias_);
  if (parts.vqa) vqa_ = add_classifier("vqa_classifier", d, parts.vqa);
  if (parts.nlvr2) nlvr2_ = add_classifier("nlvr2_classifier", 2 * d, 2);
  if (parts.entailment) entailment_ = add_classifier("snli_ve_classifier", d, parts.entailment);
  if (parts.image_classes) {
    fc_norm_weight_ = p.add("fc_norm.weight", {d}, Init::kOnes);
    fc_norm_bias_ = p.add("fc_norm.bias", {d}, Init::kZeros);
    add_linear("head", parts.image_classes, d, config_.init_std, &image_head_weight_, &image_head_bias_);
  }
  p.allocate();
}

void MomeModel::copy_language_experts() {
  for (const Block& b : blocks_) {
    if (b.fused.fc1_weight < 0 || b.language.fc1_weight < 0) continue;
    const int from[] = {b.language.norm_weight, b.language.norm_bias, b.language.fc1_weight,
                        b.language.fc1_bias, b.language.fc2_weight, b.language.fc2_bias};
    const int to[] = {b.fused.norm_weight, b.fused.norm_bias, b.fused.fc1_weight, b.fused.fc1_bias, b.fused.fc2_weight, b.fused.fc2_bias};
    for (int i = 0; i < 6; ++i)
      parameters_.device().copy(parameters_.writable_value(to[i]).data, parameters_.value(from[i]).data, parameters_.value(to[i]).bytes());
  }
  parameters_.refresh_copies();
}

}  // namespace mome
