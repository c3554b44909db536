// Gathers the samples of a task's sources: registers their pictures, and makes classes and targets
// once all are there.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/data/tally.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/task_set.h"

namespace mome {

/// A sample as a reader finds it.
struct RawSample {
  std::string key;  // empty: none is given, and `place` stands for it
  std::vector<std::string> images;
  std::string text, split, kind;
  bool labelled = false;
  std::vector<std::pair<std::string, float>> answers;  // right ones, as strings, with their scores
  std::string place;                                   // "FILE: line 3"
};

class TaskCollector {
 public:
  TaskCollector(Task task, const std::string& source, const std::string& split,
                const TaskOptions& options);

  void add(RawSample sample);
  /// Samples that cannot be used, for the reason told in one line.
  void bad(std::string problem, int64_t samples = 1) { tally_.bad(std::move(problem), samples); }
  bool wants(const std::string& split) const { return tally_.wants(split); }
  /// The classes of a format that has them, in its order.
  void set_classes(std::vector<std::string> classes) { format_classes_ = std::move(classes); }
  /// For vqa: counts a majority answer of a source that lists those of all its splits (VQAv2), and
  /// asks for `min_occurrences` unless the options do.
  void count_answer(const std::string& answer, int64_t min_occurrences);

  /// Throws Error as open_task promises, else hands over what was gathered.
  TaskSet finish();

  Task task() const { return set_.task; }
  const TaskOptions& options() const { return options_; }

 private:
  struct Missing {
    std::string place, file;
    int64_t samples;
  };
  struct Answers {
    std::string place;
    std::vector<std::pair<std::string, float>> answers;
  };

  bool is_there(const std::string& file, const std::string& place);
  int32_t picture(const std::string& file);
  void build_classes();
  void find_targets();

  const TaskOptions& options_;
  Tally tally_;
  TaskSet set_;
  std::vector<Answers> answers_;                       // of set_.samples
  std::unordered_map<std::string, std::string> keys_;  // "SPLIT\nKEY" -> place
  std::unordered_map<std::string, int64_t> files_;     // -> number in missing_, or -1
  std::vector<Missing> missing_;
  std::unordered_map<std::string, int32_t> pictures_;  // file -> record
  std::vector<std::string> format_classes_;
  AnswerCounter counter_;
  int64_t min_occurrences_ = 1;
};

}  // namespace mome
