#include "models/finetune/rates.h"

#include <cmath>
#include <cstdlib>

#include "models/stages/trainer.h"

namespace mome {
namespace {

constexpr const char* kBlocks = "transformer.blocks.";

// Block that a parameter belongs to; -1: the embeddings, L: what stands behind the blocks.
int64_t block_of(const std::string& name, int64_t layers) {
  if (name.starts_with(kBlocks)) return std::atoll(name.c_str() + std::string(kBlocks).size());
  for (const char* part : {"text_embeddings.", "token_type_embeddings.", "transformer.cls_token", "transformer.pos_embed",
                           "transformer.patch_embed.", "relative_position_bias_table"})
    if (name.starts_with(part)) return -1;
  return layers;
}

bool is_read(Task task, const std::string& name, const ModelConfig& c, bool has_upper) {
  if (task == Task::kImageClassification) return !name.starts_with("transformer.norm.");
  if (task == Task::kRetrieval || !has_upper || block_of(name, c.layers) < c.vl_from || !name.starts_with(kBlocks)) return true;
  return name.find("_imag.") == std::string::npos && name.find("_text.") == std::string::npos;
}

}  // namespace

void make_task_model(Task task, int64_t classes, bool matching, ModelConfig& config, ModelParts& parts) {
  const bool fused = parts.fused;
  parts = {};
  parts.image = true;
  parts.text = task != Task::kImageClassification;
  parts.fused = fused && parts.text && (task != Task::kRetrieval || matching);
  switch (task) {
    case Task::kRetrieval:
      parts.itc = true;
      parts.itm = matching;
      config.itc_tail = false;  // the published fine-tuning contrasts once, from the V and L experts
      break;
    case Task::kVqa: parts.vqa = classes; break;
    case Task::kNlvr2: parts.nlvr2 = true; break;
    case Task::kEntailment: parts.entailment = classes; break;
    case Task::kImageClassification: parts.image_classes = classes; break;
  }
}

bool is_task_head(Task task, const std::string& name) {
  switch (task) {
    case Task::kRetrieval: return false;  // its heads are pretrained
    case Task::kVqa: return name.starts_with("vqa_classifier.");
    case Task::kNlvr2: return name.starts_with("nlvr2_classifier.");
    case Task::kEntailment: return name.starts_with("snli_ve_classifier.");
    case Task::kImageClassification: return name.starts_with("head.") || name.starts_with("fc_norm.");
  }
  return false;
}

void apply_task_rules(MomeModel& model, Task task, const FinetuneConfig& config) {
  ParameterSet& parameters = model.parameters();
  apply_rules(parameters, config);
  const ModelConfig& c = model.config();
  const bool has_upper = model.parts().fused && c.vl_from < c.layers;
  for (int i = 0; i < int(parameters.list().size()); ++i) {
    Parameter& p = parameters[i];
    p.trained = p.trained && is_read(task, p.name, c, has_upper);
    p.lr_scale = std::pow(config.layer_decay, double(c.layers - block_of(p.name, c.layers)));
    if (is_task_head(task, p.name)) p.lr_scale *= config.head_rate;
  }
}

}  // namespace mome
