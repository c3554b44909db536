// Puts a task's samples together while its files are read, and turns their answers into classes at
// the end.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data/tally.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/task_set.h"

namespace mome {

/// A sample as its file has it.
struct RawSample {
  std::string key, text, kind, split;
  std::vector<std::string> pictures;                   // paths
  std::vector<std::pair<std::string, float>> answers;  // with their scores; empty: not known
  std::string majority;  // vqa: the answer that is counted; empty: the best of `answers`
  bool labelled = false;
};

class TaskBuilder {
 public:
  TaskBuilder(Task task, const std::string& source, const std::string& split,
              const TaskOptions& options);

  /// A sample that was read at `place` ("FILE: line 3"); a missing picture makes it a broken one.
  void add(RawSample sample, const std::string& place);
  void bad(std::string problem) { tally_.bad(std::move(problem)); }
  /// Classes in this order, rather than by what is there, if no label is another.
  void propose(std::vector<std::string> classes) { proposed_ = std::move(classes); }
  /// An answer must be the majority's so often to be a class, unless the options say otherwise.
  void set_min_occurrences(int64_t n) { min_occurrences_ = n; }

  /// Throws Error as open_task promises, else hands over the set.
  TaskSet finish();

  Task task() const { return set_.task; }
  const TaskOptions& options() const { return options_; }

 private:
  int32_t picture(const std::string& path);
  void choose_classes();
  void set_targets();

  const TaskOptions& options_;
  Tally tally_;
  TaskSet set_;
  std::map<std::string, int32_t> pictures_;  // path -> record; -1: missing
  std::vector<RawSample> raw_;               // [samples]
  std::vector<std::string> places_;
  std::map<std::string, bool> keys_;
  std::vector<std::string> proposed_;
  int64_t min_occurrences_ = 1;
};

// One reader a format.
void read_vqa(const std::vector<std::string>& files, TaskBuilder& out);
void read_easy_vqa(const std::string& file, TaskBuilder& out);
void read_task_lines(const std::string& file, TaskBuilder& out);
void read_class_folders(const std::string& folder, TaskBuilder& out);

}  // namespace mome
