// The Mixture-of-Modality-Experts transformer of VLMo (Bao et al. 2022, "VLMo: Unified Vision-Language
// Pre-Training with Mixture-of-Modality-Experts"): one attention shared by all modalities, and per block a
// feed-forward expert per modality. Parameters carry the official checkpoint's names.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/mome/config.h"
#include "models/mome/layout.h"
#include "runtime/optim/parameters.h"

namespace mome {

/// One forward pass's inputs: distinct images and texts, and the sequences made of them.
struct ForwardInputs {
  int64_t images = 0;
  int64_t second_from = -1;               // images from this one on are second ones of a pair (NLVR2); -1: none are
  Tensor patches;                         // [images * P, 3 p^2] normalised, in the model's dtype
  const std::vector<uint8_t>* masked = nullptr;  // [images * P]: replaced by the mask token; null: none
  std::vector<int32_t> tokens;            // packed texts, [CLS] and [SEP] included
  std::vector<int32_t> text_lengths;      // [texts]
  std::vector<int32_t> text_keys;         // [texts] what a text's dropout hangs on, as a sequence's key; empty: its number
};

/// Randomness and regularisation of a training pass; the defaults are evaluation.
struct ForwardOptions {
  double drop_path = 0;  // rate of the last block; grows linearly from 0 (Huang et al. 2016)
  double dropout = 0;    // of the text embeddings
  uint64_t seed = 0, step = 0;
  uint64_t pass = 0;     // passes of one step draw apart
  bool recompute = false;  // experts' hidden activations are made again in backward: less memory, more time
  /// Is shown the input of every block 0 … L-1, and as "block" L the last one's output (before the final norm). A token's
  /// row in x: rows.attention.sequences[i].q_begin[segment] + its number among the segment's read tokens (all, unless the
  /// layout is pruned); i numbers the sequences and after them the tails, segment 0 is the text, 1 the image.
  std::function<void(int64_t block, const Var* x, const BlockRows& rows)> hidden = {};
};

struct ForwardOutput {
  Var* states = nullptr;  // [read rows, D] after the final norm; row numbers from layout->text_row / image_row
  Var* raw = nullptr;     // the same before the final norm
};

class MomeModel {
 public:
  /// dtype: what activations and the operands of products are in.
  MomeModel(const ModelConfig& config, const ModelParts& parts, DType dtype = DType::kF32, Device& device = Device::host());

  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  const ModelConfig& config() const { return config_; }
  const ModelParts& parts() const { return parts_; }

  /// Layout of a pass over these sequences; prune = false computes every row (the reference form).
  std::shared_ptr<MomeLayout> layout(const ForwardInputs& inputs, std::vector<SequenceSpec> sequences,
                                     bool prune = true) const;
  /// Runs all blocks. The inputs and the layout must outlive the tape.
  ForwardOutput forward(Tape& tape, const ForwardInputs& inputs, const MomeLayout& layout, const ForwardOptions& options);

  // Heads; `rows` index states.
  Var* mlm_logits(Tape& tape, Var* states, const GatherPlan& rows);          // [M, V]
  Var* mim_output(Tape& tape, Var* states, const GatherPlan& rows);          // [M, 3p^2] or [M, codes]
  // Of fused sequences: `text_cls` are their text [CLS] rows, which the pooler reads.
  Var* pooled(Tape& tape, Var* states, const GatherPlan& text_cls);             // [N, D]
  Var* itm_logits(Tape& tape, Var* states, const GatherPlan& text_cls);         // [N, 2], class 1 = match
  Var* vqa_logits(Tape& tape, Var* states, const GatherPlan& text_cls);         // [N, answers]
  Var* entailment_logits(Tape& tape, Var* states, const GatherPlan& text_cls);  // [N, labels]
  /// Rows 2b and 2b+1: the statement with its first and with its second image. [N / 2, 2], class 1 = true
  Var* nlvr2_logits(Tape& tape, Var* states, const GatherPlan& text_cls);
  /// Classes of images, from the mean of their patches' states before the final norm (BEiT, Bao et al. 2022). [N, classes]
  Var* image_logits(Tape& tape, Var* raw, const Segments& patches);
  /// Contrast features, L2-normalised [N, itc_dim]. `image` or text, of the tail or not; pooled [N, D].
  Var* itc_features(Tape& tape, Var* pooled, bool image, bool tail);
  /// logit_scale or logit_vl_scale, before exp.
  Var* logit_scale(Tape& tape, bool tail);

  /// Sets VL experts and their norms to copies of the L experts' (a start that learns faster than random).
  void copy_language_experts();
  /// Position index for a text capacity, made once and kept.
  const RelativeIndex& relative_index(int64_t text_capacity, bool with_image) const;

 private:
  struct Expert {
    int norm_weight = -1, norm_bias = -1, fc1_weight = -1, fc1_bias = -1, fc2_weight = -1, fc2_bias = -1;
  };
  struct Block {
    int gamma1 = -1, gamma2 = -1, norm1_weight, norm1_bias, qkv, q_bias, v_bias, proj_weight, proj_bias;
    Expert vision, language, fused;
  };
  struct Classifier {  // Linear, LayerNorm, GELU, Linear: modules 0, 1, 3 of the official Sequential
    int in_weight = -1, in_bias = -1, norm_weight = -1, norm_bias = -1, out_weight = -1, out_bias = -1;
  };
  Classifier add_classifier(const std::string& name, int64_t inputs, int64_t classes);
  Var* classify(Tape& tape, const Classifier& head, Var* x);
  Expert add_expert(const std::string& prefix, const std::string& suffix);
  void add_linear(const std::string& name, int64_t out, int64_t in, double std, int* weight, int* bias);
  Var* on(Tape& tape, int i) const { return i < 0 ? nullptr : parameters_.on(tape, i); }
  Var* embed(Tape& tape, const ForwardInputs& inputs, const ForwardOptions& options);
  Var* drop_path(Tape& tape, const std::vector<int32_t>& sample, int64_t block, int branch, const ForwardOptions& options);

  ModelConfig config_;
  ModelParts parts_;
  ParameterSet parameters_;
  std::vector<Block> blocks_;
  Gelu gelu_;
  std::vector<int32_t> text_position_;  // of the pass that runs, as is
  std::vector<int64_t> text_draws_;     // dropout's row of each token
  mutable std::map<std::pair<int64_t, bool>, std::unique_ptr<RelativeIndex>> index_;

  int table_ = -1, cls_ = -1, pos_embed_ = -1, patch_weight_ = -1, patch_bias_ = -1, mask_token_ = -1;
  int word_ = -1, text_type_ = -1, text_pos_ = -1, text_norm_weight_ = -1, text_norm_bias_ = -1, type_ = -1;
  int norm_weight_ = -1, norm_bias_ = -1, pooler_weight_ = -1, pooler_bias_ = -1;
  int mlm_dense_ = -1, mlm_dense_bias_ = -1, mlm_norm_ = -1, mlm_norm_bias_ = -1, mlm_decoder_ = -1, mlm_bias_ = -1;
  int itm_weight_ = -1, itm_bias_ = -1, mim_weight_ = -1, mim_bias_ = -1;
  int fc_norm_weight_ = -1, fc_norm_bias_ = -1, image_head_weight_ = -1, image_head_bias_ = -1;
  Classifier vqa_, entailment_, nlvr2_;
  int itc_text_ = -1, itc_image_ = -1, itc_vl_text_ = -1, itc_vl_image_ = -1, scale_ = -1, vl_scale_ = -1;
};

}  // namespace mome
