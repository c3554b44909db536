// The downstream tasks that a pre-trained model is fine-tuned and evaluated on.
#pragma once
#include <string>
#include <string_view>

namespace mome {

enum class Task { kRetrieval, kVqa, kNlvr2, kEntailment, kImageClassification };

/// "retrieval", "vqa", "nlvr2", "snli-ve" or "image-classification".
const char* task_name(Task task);
/// The task of that name. Throws UsageError, listing the names that there are.
Task parse_task(std::string_view name);
/// How many pictures a sample of the task has: 2 for nlvr2, else 1.
int pictures_per_sample(Task task);
/// Whether its samples have a text: all but image classification.
bool has_text(Task task);

}  // namespace mome
