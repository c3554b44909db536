// What a fine-tuning trains, and at which rates.
#pragma once
#include "models/finetune/config.h"
#include "models/mome/model.h"

namespace mome {

/// Parts and shape of the task's model, made of a pretrained one: its encoder, and the head of the task alone. `classes`: of
/// the task's head.
void make_task_model(Task task, int64_t classes, bool matching, ModelConfig& config, ModelParts& parts);

/// Whether the name is of the task's head: it starts fresh and has a rate of its own.
bool is_task_head(Task task, const std::string& name);

/// Freeze patterns, decay (apply_rules), and rates: the head's by head_rate, block l's by layer_decay^(L - l), the embeddings'
/// by layer_decay^(L + 1), as BEiT's (unilm/beit/optim_factory.py). What the task's pass does not read is not trained, so that
/// nothing decays that no gradient moves: fused tasks read no single-modality expert from the first VL block on.
void apply_task_rules(MomeModel& model, Task task, const FinetuneConfig& config);

}  // namespace mome
