#include "runtime/data/tasks/task.h"

#include "runtime/core/error.h"

namespace mome {
namespace {

struct Named {
  Task task;
  const char* name;
};
constexpr Named kTasks[] = {{Task::kRetrieval, "retrieval"},
                            {Task::kVqa, "vqa"},
                            {Task::kNlvr2, "nlvr2"},
                            {Task::kEntailment, "snli-ve"},
                            {Task::kImageClassification, "image-classification"}};

}  // namespace

const char* task_name(Task task) {
  for (const Named& t : kTasks)
    if (t.task == task) return t.name;
  return "";
}

Task parse_task(std::string_view name) {
  std::string names;
  for (const Named& t : kTasks) {
    if (name == t.name) return t.task;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", t.name);
  }
  throw UsageError(fmt::format("task \"{}\" is unknown; expected one of {}", name, names));
}

int pictures_per_sample(Task task) { return task == Task::kNlvr2 ? 2 : 1; }

bool has_text(Task task) { return task != Task::kImageClassification; }

}  // namespace mome
