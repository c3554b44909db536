// `mome evaluate --task`: a fine-tuned model on the samples of its task.
#pragma once
#include <string>

namespace mome {

struct EvaluateTask {
  std::string task, checkpoint, vocabulary, data, split, image_root, classes, submission, json;
  bool blind = false, as_published = false;
  double max_bad = 0.01;
};

void evaluate_task_command(const EvaluateTask& options);

}  // namespace mome
