#include "models/finetune/finetune.h"


#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "models/checkpoints/beit.h"
#include "models/checkpoints/shape.h"
#include "models/finetune/rates.h"
#include "models/finetune/task_work.h"
#include "models/stages/checkpoint.h"
#include "models/stages/pair_work.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/interrupt.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

void check(const FinetuneRecipe& r) {
  check(static_cast<const RunConfig&>(r));
  check(r.training, "training");
  const auto want = [](bool ok, const char* key, const char* what) {
    if (!ok) fail("recipe: {}: {}", key, what);
  };
  want(!r.checkpoint.empty(), "checkpoint", "a pretrained model is expected");
  want(r.training.steps > 0 || r.training.epochs > 0, "training.epochs", "above 0 is expected where steps is 0");
  want(r.training.warmup_share >= 0 && r.training.warmup_share <= 1, "training.warmup_share", "0 to 1 is expected");
  want(r.training.head_rate > 0, "training.head_rate", "above 0 is expected");
  want(r.training.layer_decay > 0 && r.training.layer_decay <= 1, "training.layer_decay", "above 0 up to 1 is expected");
  want(r.training.matching >= 0, "training.matching", "0 or more is expected");
}

// Steps and warm-up that follow from the number of samples (as published: whole epochs, the last batch of each counted).
void set_steps(FinetuneConfig& c, int64_t samples) {
  if (c.steps == 0) c.steps = std::max<int64_t>(1, std::llround(c.epochs * std::ceil(double(samples) / double(c.batch))));
  if (c.warmup == 0) c.warmup = int64_t(c.warmup_share * double(c.steps));
}

PairStageConfig pair_stage(const FinetuneConfig& c) {
  PairStageConfig stage;
  static_cast<StageConfig&>(stage) = c;
  stage.itc_weight = 1;
  stage.itm_weight = c.matching;
  stage.mlm_weight = 0;
  return stage;
}

// The task's model, with the values of the checkpoint; what it may lack is the task's head (and the pooler, which files of
// earlier stages lack) and no more, unless allowed.
void start(MomeModel& model, const FinetuneRecipe& recipe, Task task, RunParts& run) {
  model.parameters().initialize(uint64_t(recipe.seed));
  MayBeMissing may_be_fresh = {recipe.allow_missing ? "*" : "pooler.*"};
  for (const Parameter& p : model.parameters().list())
    if (is_task_head(task, p.name)) may_be_fresh.push_back(p.name);
  const LoadReport report =
      load_weights(model, recipe.checkpoint, may_be_fresh, "allow_missing = true goes on with fresh ones");
  for (const std::string& resized : report.resized) run.note(fmt::format("{}: {}", recipe.checkpoint, resized));
  run.note(fmt::format("{}: starts from {}; fresh: {}", task_name(task), recipe.checkpoint,
                       report.fresh.empty() ? "nothing" : fmt::format("{}", fmt::join(report.fresh, ", "))));
}

TaskOptions task_options(const FinetuneRecipe& recipe, Task task) {
  TaskOptions o;
  o.image_root = recipe.data.image_root;
  o.max_bad = recipe.data.max_bad;
  o.min_occurrences = recipe.min_occurrences;
  o.classes = recipe.classes.empty() ? checkpoint_classes(recipe.checkpoint, task) : read_classes(recipe.classes);
  return o;
}

}  // namespace

std::vector<std::string> split_sources(const std::string& sources) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= sources.size();) {
    const size_t end = std::min(sources.find(',', begin), sources.size());
    if (end > begin) out.push_back(sources.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

std::vector<std::string> read_classes(const std::string& path) {
  // A blank line is a class, too: an answer that normalisation left nothing of.
  std::vector<std::string> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  if (lines.empty()) fail("{}: empty; expected a class a line", path);
  std::set<std::string> seen;
  for (size_t i = 0; i < lines.size(); ++i)
    if (!seen.insert(lines[i]).second) fail("{}: line {}: class \"{}\" is there twice", path, i + 1, lines[i]);
  return lines;
}

std::vector<std::string> checkpoint_classes(const std::string& path, Task task) {
  const NamedTensors tensors = read_tensors(path);
  const auto of = tensors.metadata.find(kTaskKey), classes = tensors.metadata.find(kClassesKey);
  if (of == tensors.metadata.end() || of->second != task_name(task) || classes == tensors.metadata.end()) return {};
  try {
    return nlohmann::json::parse(classes->second).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    fail("{}: metadata \"{}\" is no list of classes: {}", path, kClassesKey, e.what());
  }
}

namespace {

Outcome train_task(RunParts& run, FinetuneRecipe& recipe) {
  const Task task = parse_task(recipe.task);
  ModelShape shape = infer_shape(read_under_vlmo_names(recipe.checkpoint), recipe.heads);
  if (recipe.image_size > 0) shape.config.image_size = recipe.image_size;
  if (recipe.text_length > 0) shape.config.text_length = recipe.text_length;
  if (recipe.data.vocabulary.empty()) recipe.data.vocabulary = (fs::path(recipe.checkpoint).parent_path() / "vocab.txt").string();
  if (has_text(task)) run.load_words(recipe.data, shape.config);

  std::optional<TaskSet> train_set;
  int64_t samples = 0;
  if (task == Task::kRetrieval) {
    samples = int64_t(run.open(recipe.data, recipe.data.train, recipe.data.train_split, "train").records.size());
  } else {
    if (recipe.data.train.empty()) fail("recipe: data.train is empty; it is needed");
    train_set = open_task(task, split_sources(recipe.data.train), recipe.data.train_split, task_options(recipe, task));
    for (const std::string& problem : train_set->problems) run.note(problem);
    samples = int64_t(train_set->samples.size());
  }
  set_steps(recipe.training, samples);
  check(recipe.training, "training");
  make_task_model(task, train_set ? int64_t(train_set->classes.size()) : 0, recipe.training.matching > 0, shape.config, shape.parts);
  MomeModel model(shape.config, shape.parts, run.dtype, *run.device);
  apply_task_rules(model, task, recipe.training);

  fs::create_directories(recipe.output);
  catch_interrupts();
  if (run.agree(fs::exists(final_checkpoint(recipe, recipe.task)))) {
    run.note(fmt::format("{}: done before ({})", recipe.task, final_checkpoint(recipe, recipe.task)));
    return Outcome::kDone;
  }
  const PairStageConfig pairs = pair_stage(recipe.training);
  Training training{recipe.task, recipe.training};
  training.metadata = {{kTaskKey, recipe.task}, {"mome.recipe", fingerprint(recipe)}};
  if (train_set) training.metadata[kClassesKey] = nlohmann::json(train_set->classes).dump();
  training.start = [&](MomeModel& m) { start(m, recipe, task, run); };
  training.work = [&](int64_t first) -> std::unique_ptr<TrainingWork> {
    if (task == Task::kRetrieval) return std::make_unique<PairWork>(run, recipe.data, shape.config, pairs, first);
    return std::make_unique<TaskWork>(run, recipe, shape.config, *train_set, first);
  };
  const Outcome outcome = train(run, model, training);
  const std::string vocabulary = recipe.output + "/vocab.txt";
  if (run.is_first() && has_text(task) && !fs::exists(vocabulary)) write_file_atomic(vocabulary, read_file(recipe.data.vocabulary));
  return outcome;
}

}  // namespace

Outcome finetune(const FinetuneRecipe& given) {
  check(given);
  FinetuneRecipe recipe = given;
  RunParts run(recipe);
  return told_to_all(run, [&] { return train_task(run, recipe); });
}

}  // namespace mome
