#include "tools/evaluate_task.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/evaluation/tasks.h"
#include "models/finetune/finetune.h"
#include "models/objectives/classify.h"
#include "models/stages/checkpoint.h"
#include "runtime/data/tasks/vqa_submission.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/retriever.h"

namespace mome {
namespace {

void line(const std::string& name, const TaskScore& s) {
  fmt::print("{:<20} {:>8} {:>7.2f}   {:5.2f} to {:5.2f}\n", name, s.samples, 100 * s.mean, 100 * s.low, 100 * s.high);
}

nlohmann::ordered_json figures(const TaskScore& s) {
  return {{"samples", s.samples}, {"score", s.mean}, {"low", s.low}, {"high", s.high}};
}

std::vector<std::string> classes_of(const EvaluateTask& o, Task task, int64_t wanted) {
  const std::vector<std::string> classes = o.classes.empty() ? checkpoint_classes(o.checkpoint, task) : read_classes(o.classes);
  if (classes.empty())
    fail("{}: does not say what its {} classes are; give them by --classes (of VQAv2: `mome data answers`)", o.checkpoint, wanted);
  if (int64_t(classes.size()) != wanted)
    fail("{}: {} classes; the head of {} has {}", o.classes.empty() ? o.checkpoint : o.classes, classes.size(), o.checkpoint, wanted);
  return classes;
}

void submit(const std::string& path, const TaskSet& set, const TaskFigures& figures) {
  std::vector<std::string> keys, answers;
  for (size_t i = 0; i < set.samples.size(); ++i) {
    const int32_t c = figures.predicted[i];
    if (c < 0) fail("{}: question {} has a picture that could not be read; a submission needs every answer", path, set.samples[i].key);
    keys.push_back(set.samples[i].key);
    answers.push_back(set.classes[size_t(c)]);
  }
  write_submission(path, keys, answers);
}

}  // namespace

void evaluate_task_command(const EvaluateTask& o) {
  const Task task = parse_task(o.task);
  if (!o.submission.empty() && task != Task::kVqa) throw UsageError("--submission is for --task vqa");
  const std::unique_ptr<MomeModel> model = open_checkpoint(o.checkpoint);
  const int64_t wanted = task_classes(model->parts(), task);
  if (wanted == 0)
    fail("{}: has no head for {}; expected a checkpoint of `mome finetune --task {}`", o.checkpoint, task_name(task), task_name(task));
  TaskOptions options;
  options.image_root = o.image_root;
  options.max_bad = o.max_bad;
  options.labels_needed = false;
  options.as_published = o.as_published;
  options.classes = task == Task::kNlvr2 ? std::vector<std::string>{"False", "True"} : classes_of(o, task, wanted);
  const TaskSet set = open_task(task, split_sources(o.data), o.split, options);
  for (const std::string& problem : set.problems) fmt::print(stderr, "{}\n", problem);
  std::optional<WordPiece> words;
  if (has_text(task)) words.emplace(open_vocabulary(o.checkpoint, o.vocabulary, model->config().vocabulary));

  Progress bar("evaluate " + o.task, int64_t(set.samples.size()));
  TaskReader reader(set, words ? &*words : nullptr,
                    reader_options(model->config(), o.max_bad, [&](const std::string& text) { bar.note(text); }));
  TaskEvaluation how;
  how.blind = o.blind;
  how.progress = [&](int64_t done, int64_t) { bar.update(done); };
  Arena arena;
  const TaskFigures f = evaluate_task(*model, set, reader, how, arena);
  bar.finish();

  if (f.all.samples > 0) {
    fmt::print("{:<20} {:>8} {:>7}   {}\n", "%", "samples", "score", "95 % interval");
    line("all", f.all);
    for (const auto& [kind, s] : f.by_kind) line(kind, s);
    line("always one class", f.majority);
  } else {
    fmt::print("{} samples predicted; none has a label to be scored by\n", set.samples.size());
  }
  if (!o.submission.empty()) submit(o.submission, set, f);
  if (o.json.empty()) return;
  nlohmann::ordered_json j = {{"task", o.task}, {"all", figures(f.all)}, {"majority", figures(f.majority)}};
  j["by_kind"] = nlohmann::ordered_json::object();
  for (const auto& [kind, s] : f.by_kind) j["by_kind"][kind] = figures(s);
  j["predictions"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < set.samples.size(); ++i) {
    nlohmann::ordered_json answer;  // null: not read
    if (f.predicted[i] >= 0) answer = set.classes[size_t(f.predicted[i])];
    j["predictions"].push_back({{"key", set.samples[i].key}, {"class", answer}});
  }
  write_file_atomic(o.json, j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace mome
