#include "models/stages/training.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/stages/checkpoint.h"
#include "runtime/data/dataset.h"
#include "runtime/log/interrupt.h"
#include "runtime/log/progress.h"
#include "runtime/log/run_log.h"
#include "runtime/log/tensorboard.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

void to_stderr(const std::string& line) { fmt::print(stderr, "{}\n", line); }

DType compute_dtype(const RunConfig& config, const Device& device) {
  if (config.dtype == "f32") return DType::kF32;
  if (config.dtype != "fp16" && config.dtype != "bf16") fail("recipe: dtype \"{}\" is unknown; expected f32, fp16 or bf16", config.dtype);
  if (device.is_host()) fail("recipe: dtype {} is for GPUs; the cpu device computes in f32", config.dtype);
  return config.dtype == "fp16" ? DType::kF16 : DType::kBF16;
}

std::string short_text(const Metrics& m) {
  std::string out;
  for (const auto& [name, value] : m.values) out += fmt::format("{}{} {:.3g}", out.empty() ? "" : "  ", name, value);
  return out;
}

class Loop {
 public:
  Loop(RunParts& run, MomeModel& model, const Training& training)
      : run_(run), model_(model), t_(training), name_(training.name), stage_(training.stage) {}

  Outcome train() {
    const RunConfig& config = run_.config;
    const std::string directory = config.output + "/" + name_;
    fs::create_directories(directory);
    MomeModel& model = model_;
    ParameterSet& parameters = model.parameters();
    if (stage_.average > 0) parameters.keep_average();

    std::vector<std::string> problems;
    OptimizerProgress progressed;
    int64_t first = load_resume_point(model, directory, t_.metadata, problems, progressed);
    for (const std::string& p : problems) run_.note("a broken checkpoint was passed over: " + p);
    const bool resumed = first >= 0;
    if (!resumed) {
      first = 0;
      t_.start(model);
      if (stage_.average > 0) parameters.keep_average();
    }

    const std::unique_ptr<TrainingWork> work = t_.work(first);
    RunLog log = RunLog::open(config.output + "/log.jsonl", t_.steps_before + first);
    TensorBoardLog board(config.output + "/tensorboard/" + name_, first);
    Progress progress(name_, stage_.steps, first);
    run_.note = [&progress](const std::string& line) { progress.note(line); };
    if (resumed) progress.note(fmt::format("{}: going on at step {} of {}", name_, first, stage_.steps));

    Optimizer optimizer(parameters, {stage_.beta1, stage_.beta2, stage_.eps, stage_.clip, stage_.average});
    optimizer.resume(progressed);
    run_.loss_scale = run_.dtype == DType::kF16 ? optimizer.loss_scale() : nullptr;
    auto since = std::chrono::steady_clock::now();
    int64_t counted = 0;
    for (int64_t step = first; step < stage_.steps; ++step) {
      parameters.zero_grads();
      Metrics m = work->step(model, step);
      const double lr = learning_rate(stage_.schedule, stage_.learning_rate, stage_.final_rate, stage_.warmup, stage_.steps, step);
      optimizer.set_rate(lr);
      optimizer.step();
      const OptimizerReport report = optimizer.report();
      ++counted;
      if (report.skipped) progress.note(fmt::format("{}: step {}: the gradient is not finite; the step was skipped", name_, step));
      if (report.skipped_in_a_row >= Optimizer::kStuck) stop_stuck(model, optimizer, directory, t_.metadata, step, report);
      progress.update(step + 1, short_text(m));
      const bool last = step + 1 == stage_.steps;
      if (step % config.log_every == 0 || last) {
        const auto now = std::chrono::steady_clock::now();
        const double rate = double(counted * stage_.batch) / std::chrono::duration<double>(now - since).count();
        since = now, counted = 0;
        m.add("lr", lr);
        m.add("grad_norm", report.grad_norm);
        if (run_.loss_scale) m.add("loss_scale", report.loss_scale);
        if (!run_.device->is_host()) m.add("memory_mib", double(run_.arena.peak() >> 20));
        m.add("samples_per_s", rate);
        write(log, board, step, m);
      }
      if (last || (config.evaluate_every > 0 && (step + 1) % config.evaluate_every == 0)) {
        const Metrics seen = work->watch(model);
        if (!seen.values.empty()) {
          write(log, board, step, seen);
          progress.note(fmt::format("{}: step {}: {}", name_, step + 1, short_text(seen)));
        }
        since = std::chrono::steady_clock::now();
      }
      if (last) break;
      const bool stop = interrupted();
      if (stop || (config.save_every > 0 && (step + 1) % config.save_every == 0))
        save_resume_point(model, directory, step + 1, t_.metadata, optimizer.progress());
      if (stop) {
        progress.finish();
        return Outcome::kInterrupted;
      }
    }
    std::map<std::string, std::string> final = t_.metadata;
    final["mome.steps"] = std::to_string(stage_.steps);
    save_weights(model, final_checkpoint(config, name_), stage_.average > 0, final);
    std::error_code ignored;
    fs::remove_all(directory, ignored);  // resume points of a finished stage serve nobody
    progress.finish();
    run_.note = to_stderr;
    return Outcome::kDone;
  }

 private:
  // Skipped steps change nothing: what the model holds is what the last good step left, and is saved as that.
  [[noreturn]] void stop_stuck(const MomeModel& model, const Optimizer& optimizer, const std::string& directory,
                               const std::map<std::string, std::string>& metadata, int64_t step, const OptimizerReport& report) {
    const int64_t good = step + 1 - report.skipped_in_a_row;
    OptimizerProgress progress = optimizer.progress();
    progress.skipped -= report.skipped_in_a_row;
    progress.skipped_in_a_row = 0;
    save_resume_point(model, directory, good, metadata, progress);
    fail("{}: the gradients of {} steps in a row, {} to {}, were not finite (loss scale {}); stopped. {}/step-{:08}.safetensors holds the model "
         "after the last good step; try a lower learning_rate, a longer warmup or a clip",
         name_, report.skipped_in_a_row, good, step, report.loss_scale, directory, good);
  }
  void write(RunLog& log, TensorBoardLog& board, int64_t step, const Metrics& m) {
    nlohmann::ordered_json fields;
    fields["stage"] = name_;
    fields["stage_step"] = step;
    for (const auto& [key, value] : m.values) {
      fields[key] = value;
      board.scalar(key, step, value);
    }
    log.write(t_.steps_before + step, fields);
  }

  RunParts& run_;
  MomeModel& model_;
  const Training& t_;
  const std::string& name_;
  const StageConfig& stage_;
};

}  // namespace

RunParts::RunParts(const RunConfig& c)
    : config(c), device(Device::open(c.device)), dtype(compute_dtype(c, *device)), arena(*device), note(to_stderr) {}

void RunParts::load_words(const DataConfig& data, const ModelConfig& model) {
  if (data.vocabulary.empty()) fail("recipe: data.vocabulary is empty; expected a WordPiece vocab.txt");
  words.emplace(WordPiece::load(data.vocabulary));
  if (words->size() != model.vocabulary)
    fail("recipe: model.vocabulary is {}, but {} has {} tokens", model.vocabulary, data.vocabulary, words->size());
}

Dataset RunParts::open(const DataConfig& data, const std::string& source, const std::string& split, const char* key) {
  if (source.empty()) fail("recipe: data.{} is empty; it is needed", key);
  DatasetOptions o;
  o.image_root = data.image_root;
  o.max_bad = data.max_bad;
  o.index_cache = data.index_cache.empty() ? config.output + "/shards" : data.index_cache;
  if (data.retries < 0) fail("recipe: data.retries: 0 or more is expected");
  o.retries = int(data.retries);
  Dataset dataset = open_dataset(source, split, o);
  for (const std::string& problem : dataset.problems) note("skipped " + problem);
  return dataset;
}

LoaderOptions RunParts::loader_options(const DataConfig& d, const ModelConfig& model, const StageConfig& stage) {
  LoaderOptions o;
  o.batch = int(stage.batch);
  o.image_size = int(model.image_size);
  o.text_length = int(model.text_length);
  o.seed = uint64_t(config.seed);
  o.threads = int(d.threads);
  o.augmentation.kind = d.augmentation;
  o.augmentation.strength = d.strength;
  o.keyword_captions = d.keyword_captions;
  o.max_bad = d.max_bad;
  o.cache_mib = d.cache_mib;
  if (d.shard_lanes < 1 || d.shard_window < 1) fail("recipe: data.shard_lanes, shard_window: at least 1 is expected");
  o.shard_lanes = int(d.shard_lanes);
  o.shard_window = int(d.shard_window);
  o.log = [this](const std::string& line) { note(line); };
  return o;
}

std::string final_checkpoint(const RunConfig& config, const std::string& name) { return config.output + "/" + name + ".safetensors"; }

Outcome train(RunParts& run, MomeModel& model, const Training& training) { return Loop(run, model, training).train(); }

void check(const RunConfig& c) {
  if (c.output.empty()) fail("recipe: output: a folder is expected");
  if (c.log_every < 1) fail("recipe: log_every: at least 1 is expected");
}

void check(const StageConfig& s, const std::string& where) {
  const auto want = [&](bool ok, const char* key, const char* what) {
    if (!ok) fail("recipe: {}.{}: {}", where, key, what);
  };
  want(s.steps >= 0, "steps", "0 or more is expected");
  want(s.batch >= 1, "batch", "at least 1 is expected");
  want(s.warmup >= 0 && (s.steps == 0 || s.warmup <= s.steps), "warmup", "0 to `steps` is expected");
  want(s.drop_path >= 0 && s.drop_path < 1, "drop_path", "a rate from 0 to below 1 is expected");
  want(s.dropout >= 0 && s.dropout < 1, "dropout", "a rate from 0 to below 1 is expected");
  want(s.beta1 >= 0 && s.beta1 < 1 && s.beta2 >= 0 && s.beta2 < 1, "beta1, beta2", "from 0 to below 1 is expected");
  want(s.average >= 0 && s.average < 1, "average", "from 0 to below 1 is expected");
}

}  // namespace mome
