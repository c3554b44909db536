// What a model is: the shape that its checkpoint has, as a table of the recipe.
#pragma once
#include <cstdint>
#include <string>

namespace mome {

struct ModelConfig {
  int64_t image_size = 224, patch = 16;
  int64_t width = 768, heads = 12, layers = 12, mlp_ratio = 4;
  int64_t vl_from = 10;               // first block (0-based) with a VL expert; >= layers: none
  std::string positions = "relative"; // "relative" bias table, or "absolute" embeddings (VLMo-Base+)
  double layer_scale = 0.1;           // initial gamma; 0: no layer scale
  double init_std = 0.02;             // of the initial weights; narrow models learn faster from about 0.02 sqrt(768 / D)
  int64_t text_length = 40;           // longest text in tokens, [CLS] and [SEP] included
  int64_t vocabulary = 30522;
  std::string pool = "first";         // contrast reads the first token (as published) or the "mean" of the states
  int64_t itc_dim = 0;                // width of the contrast's features; 0: the model's width
  bool itc_tail = true;               // second contrast from the VL experts' tail
  std::string gelu = "erf";           // "erf", "tanh" or "quick"

  int64_t grid() const { return image_size / patch; }
  int64_t patches() const { return grid() * grid(); }
  int64_t hidden() const { return width * mlp_ratio; }
  int64_t features() const { return itc_dim ? itc_dim : width; }
};

template <class V>
void visit(V& v, ModelConfig& c) {
  v("image_size", c.image_size, "pixels of a side");
  v("patch", c.patch, "pixels of a patch's side");
  v("width", c.width, "D, width of the hidden states");
  v("heads", c.heads, "H, attention heads");
  v("layers", c.layers, "L, blocks");
  v("mlp_ratio", c.mlp_ratio, "hidden width of an expert over D");
  v("vl_from", c.vl_from, "first block with a vision-language expert, 0-based; >= layers: none");
  v("positions", c.positions, "\"relative\" (bias table) or \"absolute\" (embeddings)");
  v("layer_scale", c.layer_scale, "initial layer scale; 0: none");
  v("init_std", c.init_std, "standard deviation of the initial weights");
  v("text_length", c.text_length, "longest text in tokens, [CLS] and [SEP] included");
  v("vocabulary", c.vocabulary, "tokens of the vocabulary");
  v("pool", c.pool, "contrast reads the \"first\" token or the \"mean\" of the states");
  v("itc_dim", c.itc_dim, "width of the contrast's features; 0: D");
  v("itc_tail", c.itc_tail, "second contrast through the VL experts");
  v("gelu", c.gelu, "\"erf\", \"tanh\" or \"quick\"");
}

/// Throws Error naming the first impossible value.
void check(const ModelConfig& c);

/// What backward computes again instead of keeping it: nothing, the experts' hidden activations, or all of every block but its
/// inputs.
enum class Recompute : uint8_t { kNone, kExperts, kBlocks };
/// "none", "experts" or "blocks"; UsageError for another word, which `key` names.
Recompute recompute_of(const std::string& word, const std::string& key);

/// Which parts a stage's model has.
struct ModelParts {
  bool image = false, text = false, fused = false;  // embeddings and V, L, VL experts
  bool mim = false, mlm = false, itm = false, itc = false;  // heads
  int64_t mim_classes = 0;  // 0: the MIM head regresses pixels; else it names codes
  // Heads of downstream tasks: their classes, 0 for none.
  int64_t vqa = 0, entailment = 0, image_classes = 0;
  bool nlvr2 = false;   // with it a third type of token: those of a second image
  bool pooler = false;  // even if no head above reads it, as official files have it
  bool has_pooler() const { return pooler || itm || vqa || entailment || nlvr2; }
  static ModelParts stage_image(int64_t codes = 0) {
    ModelParts p;
    p.image = p.mim = true;
    p.mim_classes = codes;
    return p;
  }
  static ModelParts stage_text() {
    ModelParts p;
    p.image = p.text = p.mlm = true;
    return p;
  }
  static ModelParts stage_pairs() {
    ModelParts p;
    p.image = p.text = p.fused = p.mlm = p.itm = p.itc = true;
    return p;
  }
};

}  // namespace mome
