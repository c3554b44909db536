// Classifiers of downstream tasks on the encoder's states: visual question answering, pairs of images (NLVR2), visual
// entailment, image classification. One forward pass; VLMo §4.3, heads and losses as in the official code.
#pragma once
#include <vector>

#include "models/objectives/objectives.h"
#include "runtime/data/tasks/task_set.h"

namespace mome {

/// B samples. Fused tasks read `batch`'s texts; patches [B P, 3p^2], for NLVR2 [2 B P, 3p^2]: all first images, then all second.
struct TaskInputs {
  Task task;
  const Batch* batch = nullptr;
  Tensor patches;
  const std::vector<Targets>* targets = nullptr;  // [B]; null where only scores are wanted
};

/// The pictures of a task's batch as patches in the arena; `blind`: of plain gray ones.
Tensor task_patches(const MomeModel& model, const Batch& batch, bool blind, Arena& arena);

/// Forward and backward. VQA: binary cross-entropy summed over answers, mean over samples; the others: softmax
/// cross-entropy of the first target. Metrics: loss, acc (of VQA the mean score of the answers given).
Metrics classify_losses(MomeModel& model, const StageConfig& stage, const TaskInputs& inputs, const StepContext& context);

/// Logits [B, classes], without dropout and drop path.
std::vector<float> classify_logits(MomeModel& model, const TaskInputs& inputs, Arena& arena);

/// Classes of the task's head; 0 if the model has none.
int64_t task_classes(const ModelParts& parts, Task task);

}  // namespace mome
