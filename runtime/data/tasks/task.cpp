#include "runtime/data/tasks/task.h"

#include <iterator>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr const char* kNames[] = {"retrieval", "vqa", "nlvr2", "snli-ve", "image-classification"};

}  // namespace

const char* task_name(Task task) { return kNames[int(task)]; }

Task parse_task(std::string_view name) {
  std::string names;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return Task(i);
    names += fmt::format("{}{}", i == 0 ? "" : ", ", kNames[i]);
  }
  throw UsageError(fmt::format("there is no task \"{}\"; expected one of {}", name, names));
}

int pictures_per_sample(Task task) { return task == Task::kNlvr2 ? 2 : 1; }

bool has_text(Task task) { return task != Task::kImageClassification; }

}  // namespace mome
