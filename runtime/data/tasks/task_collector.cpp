#include "runtime/data/tasks/task_collector.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "runtime/core/error.h"

namespace mome {
namespace fs = std::filesystem;
namespace {

std::string first_of(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 5); ++i) {
    out += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", names[i]);
  }
  return names.size() > 5 ? fmt::format("{}, .. ({} in all)", out, names.size()) : out;
}

}  // namespace

TaskCollector::TaskCollector(Task task, const std::string& source, const std::string& split,
                             const TaskOptions& options)
    : options_(options), tally_(source, split, options.max_bad) {
  set_.task = task;
  set_.pictures.source = source;
}

bool TaskCollector::is_there(const std::string& file, const std::string& place) {
  const auto [it, is_new] = files_.emplace(file, -1);
  std::error_code ignored;
  if (is_new && !fs::is_regular_file(file, ignored)) {
    it->second = int64_t(missing_.size());
    missing_.push_back({place, file, 0});
  }
  if (it->second >= 0) ++missing_[it->second].samples;
  return it->second < 0;
}

int32_t TaskCollector::picture(const std::string& file) {
  std::vector<Record>& records = set_.pictures.records;
  const auto [it, is_new] = pictures_.emplace(file, int32_t(records.size()));
  if (is_new) {
    Record record;
    record.key = fs::path(file).filename().string();
    record.image.file = file;
    record.image_id = image_id(record.image);
    records.push_back(std::move(record));
  }
  return it->second;
}

void TaskCollector::count_answer(const std::string& answer, int64_t min_occurrences) {
  counter_.add(answer);
  min_occurrences_ = min_occurrences;
}

void TaskCollector::add(RawSample sample) {
  const size_t wanted = pictures_per_sample(task());
  if (sample.images.size() != wanted) {
    return bad(fmt::format("{}: it has {} image{}; expected {} for task {}", sample.place,
                           sample.images.size(), sample.images.size() == 1 ? "" : "s", wanted,
                           task_name(task())));
  }
  if (has_text(task()) && sample.text.empty()) {
    return bad(
        fmt::format("{}: its text is empty; expected a question or a statement", sample.place));
  }
  if (options_.labels_needed && !sample.labelled && wants(sample.split)) {
    return bad(fmt::format("{}: it has no label; expected one for training", sample.place));
  }
  if (!sample.key.empty()) {
    const auto [it, is_new] =
        keys_.emplace(fmt::format("{}\n{}", sample.split, sample.key), sample.place);
    if (!is_new) {
      return bad(fmt::format("{}: the id \"{}\" was there before ({})", sample.place, sample.key,
                             it->second));
    }
  }
  for (const std::string& file : sample.images) {
    if (!is_there(file, sample.place)) return;  // finish() tells of it, once a file
  }
  if (!tally_.add(sample.split)) return;
  TaskSample out;
  for (size_t j = 0; j < wanted; ++j) out.image[j] = picture(sample.images[j]);
  out.key = sample.key.empty() ? sample.place : std::move(sample.key);
  out.text = std::move(sample.text);
  out.kind = std::move(sample.kind);
  out.labelled = sample.labelled;
  set_.samples.push_back(std::move(out));
  answers_.push_back({std::move(sample.place), std::move(sample.answers)});
}

void TaskCollector::build_classes() {
  if (!options_.classes.empty()) {
    set_.classes = options_.classes;
  } else if (!format_classes_.empty()) {
    set_.classes = format_classes_;
  } else if (task() == Task::kVqa) {
    if (counter_.counts().empty()) {
      for (const Answers& a : answers_) {
        // The majority answer: the first of the best.
        const auto best =
            std::max_element(a.answers.begin(), a.answers.end(),
                             [](const auto& x, const auto& y) { return x.second < y.second; });
        if (best != a.answers.end()) counter_.add(best->first);
      }
    }
    const int64_t least =
        options_.min_occurrences > 0 ? options_.min_occurrences : min_occurrences_;
    set_.classes = counter_.frequent(least);
    if (set_.classes.empty() && !counter_.counts().empty()) {
      fail("{}: none of its {} different answers occurs {} times; expected answers that recur",
           tally_.source(), counter_.counts().size(), least);
    }
  } else {
    std::set<std::string> sorted;
    for (const Answers& a : answers_) {
      for (const auto& [answer, score] : a.answers) sorted.insert(answer);
    }
    set_.classes.assign(sorted.begin(), sorted.end());
  }
}

void TaskCollector::find_targets() {
  std::unordered_map<std::string, int32_t> index;
  for (size_t c = 0; c < set_.classes.size(); ++c) {
    if (!index.emplace(set_.classes[c], int32_t(c)).second) {
      fail("{}: the class \"{}\" is there twice; expected different ones", tally_.source(),
           set_.classes[c]);
    }
  }
  const bool vqa = task() == Task::kVqa;
  int64_t answers = 0, unknown = 0;
  for (size_t s = 0; s < set_.samples.size(); ++s) {
    Targets& targets = set_.samples[s].targets;
    for (const auto& [answer, score] : answers_[s].answers) {
      ++answers;
      auto it = index.find(answer);
      if (it == index.end() && vqa && !options_.as_published) {
        it = index.find(normalize_answer(answer));
      }
      if (it == index.end()) {
        if (!vqa) {
          fail("{}: the label \"{}\" is not among the classes; expected one of {}",
               answers_[s].place, answer, first_of(set_.classes));
        }
        ++unknown;
        continue;
      }
      const auto same = std::find_if(targets.begin(), targets.end(),
                                     [&](const auto& t) { return t.first == it->second; });
      if (same == targets.end()) {
        targets.emplace_back(it->second, score);
      } else {
        same->second = std::max(same->second, score);
      }
    }
  }
  if (unknown > 0) {
    set_.problems.push_back(fmt::format("{}: {} of {} answers are not among the {} classes",
                                        tally_.source(), unknown, answers, set_.classes.size()));
  }
}

TaskSet TaskCollector::finish() {
  for (const Missing& m : missing_) {
    bad(m.samples == 1 ? fmt::format("{}: there is no image file {}", m.place, m.file)
                       : fmt::format("{}: there is no image file {} ({} samples need it)", m.place,
                                     m.file, m.samples),
        m.samples);
  }
  tally_.check();
  set_.problems = tally_.problems();
  build_classes();
  find_targets();
  if (!options_.labels_needed) return std::move(set_);
  const size_t all = set_.samples.size();
  std::erase_if(set_.samples, [](const TaskSample& s) { return s.targets.empty(); });
  const size_t dropped = all - set_.samples.size();
  if (set_.samples.empty()) {
    fail(
        "{}: none of its {} questions has an answer among the {} classes; expected answers such "
        "as {}",
        tally_.source(), all, set_.classes.size(), first_of(set_.classes));
  }
  if (dropped > 0) {
    set_.problems.push_back(
        fmt::format("{}: dropped {} of {} questions, none of whose answers is among the {} classes",
                    tally_.source(), dropped, all, set_.classes.size()));
  }
  return std::move(set_);
}

}  // namespace mome
