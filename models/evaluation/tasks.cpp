#include "models/evaluation/tasks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/objectives/classify.h"

namespace mome {
namespace {

struct Sum {
  double score = 0;
  int64_t samples = 0;
  void add(double s) { score += s, ++samples; }
};

double score_of(const Targets& targets, int32_t answer) {
  for (const auto& [c, score] : targets)
    if (c == answer) return score;
  return 0;
}

}  // namespace

TaskScore task_score(double sum, int64_t samples) {
  TaskScore s;
  s.samples = samples;
  if (samples == 0) return s;
  constexpr double kZ = 1.959963984540054;  // of 95 %
  const double n = double(samples), p = sum / n, z2 = kZ * kZ / n;
  const double middle = (p + z2 / 2) / (1 + z2), half = kZ / (1 + z2) * std::sqrt(p * (1 - p) / n + z2 / (4 * n));
  s.mean = p, s.low = std::max(0.0, middle - half), s.high = std::min(1.0, middle + half);
  return s;
}

TaskFigures evaluate_task(MomeModel& model, const TaskSet& set, TaskReader& reader, const TaskEvaluation& options, Arena& arena) {
  const int64_t n = int64_t(set.samples.size()), classes = task_classes(model.parts(), set.task);
  MOME_CHECK(classes == int64_t(set.classes.size()));
  TaskFigures figures;
  figures.predicted.assign(size_t(n), -1);
  Sum all;
  std::map<std::string, Sum> by_kind;
  std::vector<double> of_class(size_t(classes), 0);
  std::vector<int32_t> which;
  for (int64_t begin = 0; begin < n; begin += options.batch) {
    which.resize(size_t(std::min(options.batch, n - begin)));
    std::iota(which.begin(), which.end(), int32_t(begin));
    const TaskBatch batch = reader.read(which);
    if (batch.batch.size > 0) {
      TaskInputs inputs{set.task, &batch.batch, task_patches(model, batch.batch, options.blind, arena)};
      const std::vector<float> logits = classify_logits(model, inputs, arena);
      arena.release(inputs.patches.data);
      for (size_t b = 0; b < batch.samples.size(); ++b) {
        const auto first = logits.begin() + std::ptrdiff_t(b) * classes;
        const int32_t answer = int32_t(std::max_element(first, first + classes) - first);
        figures.predicted[size_t(batch.samples[b])] = answer;
        const TaskSample& sample = set.samples[size_t(batch.samples[b])];
        if (!sample.labelled) continue;
        const double score = score_of(sample.targets, answer);
        all.add(score);
        if (!sample.kind.empty()) by_kind[sample.kind].add(score);
        for (const auto& [c, s] : sample.targets) of_class[size_t(c)] += s;
      }
    }
    if (options.progress) options.progress(begin + int64_t(which.size()), n);
  }
  figures.all = task_score(all.score, all.samples);
  for (const auto& [kind, sum] : by_kind) figures.by_kind[kind] = task_score(sum.score, sum.samples);
  figures.majority = task_score(*std::max_element(of_class.begin(), of_class.end()), all.samples);
  return figures;
}

}  // namespace mome
