// Fine-tuning a pretrained model on a task.
#pragma once
#include <string>
#include <vector>

#include "models/finetune/config.h"
#include "models/stages/training.h"
#include "runtime/data/tasks/task_set.h"

namespace mome {

/// The metadata keys of a fine-tuned checkpoint: its task's name, and its classes as a JSON list.
inline constexpr const char* kTaskKey = "mome.task";
inline constexpr const char* kClassesKey = "mome.classes";

/// Trains, resumable as pretraining is. Writes OUTPUT/<task>.safetensors beside the logs, and OUTPUT/vocab.txt for later use.
/// Throws Error for anything that the user can mend: a checkpoint that lacks more than the task's head, data of another task.
Outcome finetune(const FinetuneRecipe& recipe);

/// Classes of a checkpoint that was fine-tuned on `task`, from its metadata; empty if it says none.
std::vector<std::string> checkpoint_classes(const std::string& path, Task task);
/// One class a line; Error for an empty file or two equal lines.
std::vector<std::string> read_classes(const std::string& path);

/// "a.json,b.json" -> its parts.
std::vector<std::string> split_sources(const std::string& sources);

}  // namespace mome
