#include "runtime/data/tasks/task_builder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <unordered_map>

#include "runtime/core/error.h"

namespace mome {
namespace fs = std::filesystem;
namespace {

const std::string& best_answer(const RawSample& sample) {
  if (!sample.majority.empty()) return sample.majority;
  return std::max_element(sample.answers.begin(), sample.answers.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

}  // namespace

TaskBuilder::TaskBuilder(Task task, const std::string& source, const std::string& split,
                         const TaskOptions& options)
    : options_(options), tally_(source, split, options.max_bad) {
  set_.task = task;
  set_.pictures.source = source;
}

int32_t TaskBuilder::picture(const std::string& path) {
  const auto [it, fresh] = pictures_.emplace(path, -1);
  if (!fresh) return it->second;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return -1;
  Record record;
  record.image.file = path;
  record.key = fs::path(path).filename().string();
  record.image_id = image_id(record.image);
  it->second = int32_t(set_.pictures.records.size());
  set_.pictures.records.push_back(std::move(record));
  return it->second;
}

void TaskBuilder::add(RawSample raw, const std::string& place) {
  if (int(raw.pictures.size()) != pictures_per_sample(set_.task))
    return bad(fmt::format("{}: {} pictures; task {} expects {}", place, raw.pictures.size(),
                           task_name(set_.task), pictures_per_sample(set_.task)));
  if (has_text(set_.task) && raw.text.empty())
    return bad(fmt::format("{}: no text; expected a question or a statement", place));
  if (!raw.labelled && options_.labels_needed)
    return bad(fmt::format("{}: no label; expected what is right", place));
  std::vector<int32_t> records;
  for (const std::string& path : raw.pictures) {
    records.push_back(picture(path));
    if (records.back() < 0) return bad(fmt::format("{}: there is no picture {}", place, path));
  }
  if (!raw.key.empty() && !keys_.emplace(raw.key, true).second)
    return bad(fmt::format("{}: {} is there twice", place, raw.key));
  if (!tally_.add(raw.split)) return;
  TaskSample sample;
  sample.key = raw.key.empty() ? place : raw.key;
  std::copy(records.begin(), records.end(), sample.image);
  sample.text = raw.text;
  sample.kind = raw.kind;
  sample.labelled = raw.labelled;
  set_.samples.push_back(std::move(sample));
  raw_.push_back(std::move(raw));
  places_.push_back(place);
}

void TaskBuilder::choose_classes() {
  if (!options_.classes.empty()) {
    set_.classes = options_.classes;
    return;
  }
  if (set_.task == Task::kVqa) {
    AnswerCounter counter;
    for (const RawSample& raw : raw_)
      if (!raw.answers.empty()) counter.add(best_answer(raw));
    const int64_t least = options_.min_occurrences ? options_.min_occurrences : min_occurrences_;
    set_.classes = counter.frequent(least);
    if (set_.classes.empty())
      fail("{}: no answer is the majority's {} times or more (min_occurrences)",
           set_.pictures.source, least);
    return;
  }
  std::set<std::string> labels;
  for (const RawSample& raw : raw_)
    for (const auto& answer : raw.answers) labels.insert(answer.first);
  const auto is_proposed = [&](const std::string& label) {
    return std::find(proposed_.begin(), proposed_.end(), label) != proposed_.end();
  };
  if (!proposed_.empty() && std::all_of(labels.begin(), labels.end(), is_proposed))
    set_.classes = proposed_;
  else
    set_.classes.assign(labels.begin(), labels.end());
  if (set_.classes.empty())
    fail("{}: no sample has a label: the classes must be given", set_.pictures.source);
}

void TaskBuilder::set_targets() {
  std::unordered_map<std::string, int32_t> class_of;
  for (size_t c = 0; c < set_.classes.size(); ++c) class_of.emplace(set_.classes[c], int32_t(c));
  int64_t unknown = 0;
  std::vector<TaskSample> kept;
  for (size_t i = 0; i < raw_.size(); ++i) {
    TaskSample& sample = set_.samples[i];
    for (const auto& [answer, score] : raw_[i].answers) {
      const auto it = class_of.find(answer);
      if (it != class_of.end())
        sample.targets.emplace_back(it->second, score);
      else if (set_.task != Task::kVqa)
        fail("{}: label \"{}\" is unknown; expected one of {}", places_[i], answer,
             fmt::join(
                 set_.classes.begin(),
                 set_.classes.begin() + std::ptrdiff_t(std::min<size_t>(set_.classes.size(), 20)),
                 ", "));
    }
    const bool none = sample.labelled && sample.targets.empty();
    unknown += none;
    if (!none || !options_.labels_needed) kept.push_back(std::move(sample));
  }
  set_.samples = std::move(kept);
  if (unknown > 0)
    set_.problems.push_back(fmt::format(
        "{}: {} questions have no answer among the {} classes{}", set_.pictures.source, unknown,
        set_.classes.size(), options_.labels_needed ? "; they are left out" : "; they score 0"));
  if (set_.samples.empty())
    fail("{}: no question has an answer among the {} classes", set_.pictures.source,
         set_.classes.size());
}

TaskSet TaskBuilder::finish() {
  tally_.check();
  set_.problems = tally_.problems();
  choose_classes();
  set_targets();
  return std::move(set_);
}

}  // namespace mome
