#include "models/stages/trainer.h"

#include <omp.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/image/normalize.h"
#include "models/objectives/codebook.h"
#include "models/objectives/objectives.h"
#include "models/stages/checkpoint.h"
#include "models/stages/watch.h"
#include "runtime/config/recipe.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/log/interrupt.h"
#include "runtime/log/progress.h"
#include "runtime/log/run_log.h"
#include "runtime/log/tensorboard.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

// Everything that a stage's step needs besides the model: where its batches come from, and what is done with one.
class StageWork {
 public:
  virtual ~StageWork() = default;
  virtual Metrics step(MomeModel& model, int64_t step) = 0;
  /// Figures on held-out data now and then; empty where there is nothing to watch.
  virtual Metrics watch(MomeModel&) { return {}; }
};

struct RunParts {
  const Recipe& recipe;
  Device& device;
  DType dtype;  // of activations and products
  Arena arena;
  std::optional<WordPiece> words;
  std::function<void(const std::string&)> note;
  const float* loss_scale = nullptr;  // on the device; null: 1
};

StepContext context(RunParts& run, int64_t step) {
  return {run.arena, uint64_t(run.recipe.seed), uint64_t(step), true, run.loss_scale};
}

DType compute_dtype(const Recipe& recipe, const Device& device) {
  if (recipe.dtype == "f32") return DType::kF32;
  if (recipe.dtype != "fp16" && recipe.dtype != "bf16") fail("recipe: dtype \"{}\" is unknown; expected f32, fp16 or bf16", recipe.dtype);
  if (device.is_host()) fail("recipe: dtype {} is for GPUs; the cpu device computes in f32", recipe.dtype);
  return recipe.dtype == "fp16" ? DType::kF16 : DType::kBF16;
}

LoaderOptions loader_options(RunParts& run, const StageConfig& stage) {
  const DataConfig& d = run.recipe.data;
  LoaderOptions o;
  o.batch = int(stage.batch);
  o.image_size = int(run.recipe.model.image_size);
  o.text_length = int(run.recipe.model.text_length);
  o.seed = uint64_t(run.recipe.seed);
  o.threads = int(d.threads);
  o.augmentation.kind = d.augmentation;
  o.augmentation.strength = d.strength;
  o.keyword_captions = d.keyword_captions;
  o.max_bad = d.max_bad;
  o.cache_mib = d.cache_mib;
  o.log = [&run](const std::string& line) { run.note(line); };
  return o;
}

Dataset open(const Recipe& recipe, const std::string& source, const std::string& split, const char* key, RunParts& run) {
  if (source.empty()) fail("recipe: data.{} is empty; this stage needs it", key);
  DatasetOptions o;
  o.image_root = recipe.data.image_root;
  o.max_bad = recipe.data.max_bad;
  Dataset dataset = open_dataset(source, split, o);
  for (const std::string& problem : dataset.problems) run.note("skipped " + problem);
  return dataset;
}

// Codes are looked up on the CPU, whatever device trains.
Tensor host_patches(const ModelConfig& c, const Batch& batch, std::vector<float>& memory) {
  memory.resize(size_t(batch.size * c.patches() * 3 * c.patch * c.patch));
  patches_from_images<float>(cpu, batch.images.data(), batch.size, int(c.image_size), int(c.patch), Normalization{}, memory.data());
  return {memory.data(), batch.size * c.patches(), 3 * c.patch * c.patch, DType::kF32};
}

class ImageWork : public StageWork {
 public:
  ImageWork(RunParts& run, const ImageStageConfig& stage, int64_t first)
      : run_(run), stage_(stage),
        dataset_(run.recipe.data.images.empty() ? open(run.recipe, run.recipe.data.train, run.recipe.data.train_split, "train", run)
                                                : open(run.recipe, run.recipe.data.images, "", "images", run)) {
    LoaderOptions o = loader_options(run, stage);
    o.texts = false;
    loader_.emplace(dataset_, nullptr, o, first);
    if (!stage.codebook.empty()) codebook_.emplace(stage.codebook);
  }
  Metrics step(MomeModel& model, int64_t step) override {
    const Batch& batch = loader_->next();
    std::vector<int32_t> codes;
    if (codebook_) {
      codes = codebook_->codes(host_patches(model.config(), batch, patches_));
    }
    return image_step(model, stage_, batch, codebook_ ? &codes : nullptr, context(run_, step));
  }
  static int64_t classes(const ImageStageConfig& stage) { return stage.codebook.empty() ? 0 : Codebook(stage.codebook).size(); }

 private:
  RunParts& run_;
  const ImageStageConfig& stage_;
  Dataset dataset_;
  std::optional<PairLoader> loader_;
  std::optional<Codebook> codebook_;
  std::vector<float> patches_;
};

class TextWork : public StageWork {
 public:
  TextWork(RunParts& run, const TextStageConfig& stage, int64_t first) : run_(run), stage_(stage) {
    std::vector<std::string> lines;
    if (!run.recipe.data.text.empty()) {
      lines = read_text_lines(run.recipe.data.text);
    } else {
      const Dataset pairs = open(run.recipe, run.recipe.data.train, run.recipe.data.train_split, "train", run);
      for (const Record& r : pairs.records) lines.insert(lines.end(), r.captions.begin(), r.captions.end());
    }
    LoaderOptions o = loader_options(run, stage);
    if (stage.text_length > 0) o.text_length = int(stage.text_length);
    loader_.emplace(std::move(lines), *run.words, o, first);
  }
  Metrics step(MomeModel& model, int64_t step) override {
    return text_step(model, stage_, loader_->next(), *run_.words, context(run_, step));
  }

 private:
  RunParts& run_;
  const TextStageConfig& stage_;
  std::optional<TextLoader> loader_;
};

class PairWork : public StageWork {
 public:
  PairWork(RunParts& run, const PairStageConfig& stage, int64_t first)
      : run_(run), stage_(stage), dataset_(open(run.recipe, run.recipe.data.train, run.recipe.data.train_split, "train", run)) {
    loader_.emplace(dataset_, &*run.words, loader_options(run, stage), first);
    if (!run.recipe.data.val.empty())
      watch_.emplace(open(run.recipe, run.recipe.data.val, run.recipe.data.val_split, "val", run), *run.words, run.recipe);
  }
  Metrics step(MomeModel& model, int64_t step) override {
    const bool fuse = double(step) >= stage_.fusion_from * double(stage_.steps);
    return pair_step(model, stage_, loader_->next(), *run_.words, fuse, context(run_, step));
  }
  Metrics watch(MomeModel& model) override { return watch_ ? watch_->run(model, run_.arena) : Metrics{}; }

 private:
  RunParts& run_;
  const PairStageConfig& stage_;
  Dataset dataset_;
  std::optional<PairLoader> loader_;
  std::optional<RetrievalWatch> watch_;
};

// What the checkpoints of a stage must agree on: the effective recipe without what may change between
// two sittings.
std::string fingerprint(Recipe recipe) {
  recipe.output.clear();
  recipe.device.clear();
  recipe.log_every = recipe.save_every = recipe.compute_threads = recipe.evaluate_every = 0;
  recipe.data.threads = recipe.data.cache_mib = 0;
  return print_recipe(recipe);
}

std::string short_text(const Metrics& m) {
  std::string out;
  for (const auto& [name, value] : m.values) out += fmt::format("{}{} {:.3g}", out.empty() ? "" : "  ", name, value);
  return out;
}

class StageRun {
 public:
  StageRun(RunParts& run, const std::string& name, const StageConfig& stage) : run_(run), name_(name), stage_(stage) {}

  Outcome train() {
    const Recipe& recipe = run_.recipe;
    const std::string directory = recipe.output + "/" + name_;
    fs::create_directories(directory);
    ModelConfig config = recipe.model;
    if (name_ == "text" && recipe.stages.text.text_length > 0) config.text_length = recipe.stages.text.text_length;
    const ModelParts parts = name_ == "image"  ? ModelParts::stage_image(ImageWork::classes(recipe.stages.image))
                             : name_ == "text" ? ModelParts::stage_text()
                                               : ModelParts::stage_pairs();
    MomeModel model(config, parts, run_.dtype, run_.device);
    ParameterSet& parameters = model.parameters();
    apply_rules(parameters, stage_);
    const std::map<std::string, std::string> metadata = {{"mome.stage", name_}, {"mome.recipe", fingerprint(recipe)}};
    if (stage_.average > 0) parameters.keep_average();

    std::vector<std::string> problems;
    OptimizerProgress progressed;
    int64_t first = load_resume_point(model, directory, metadata, problems, progressed);
    for (const std::string& p : problems) run_.note("a broken checkpoint was passed over: " + p);
    const bool resumed = first >= 0;
    if (!resumed) {
      first = 0;
      start(model);
      if (stage_.average > 0) parameters.keep_average();
    }

    std::unique_ptr<StageWork> work;
    if (name_ == "image") work = std::make_unique<ImageWork>(run_, recipe.stages.image, first);
    else if (name_ == "text") work = std::make_unique<TextWork>(run_, recipe.stages.text, first);
    else work = std::make_unique<PairWork>(run_, recipe.stages.pairs, first);

    // One log for the run: steps of later stages go on counting.
    base_ = 0;
    if (name_ != "image") base_ += recipe.stages.image.steps;
    if (name_ == "pairs") base_ += recipe.stages.text.steps;
    RunLog log = RunLog::open(recipe.output + "/log.jsonl", base_ + first);
    TensorBoardLog board(recipe.output + "/tensorboard/" + name_, first);
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
      if (report.skipped_in_a_row >= Optimizer::kStuck) stop_stuck(model, optimizer, directory, metadata, step, report);
      progress.update(step + 1, short_text(m));
      const bool last = step + 1 == stage_.steps;
      if (step % recipe.log_every == 0 || last) {
        const auto now = std::chrono::steady_clock::now();
        const double rate = double(counted * stage_.batch) / std::chrono::duration<double>(now - since).count();
        since = now, counted = 0;
        m.add("lr", lr);
        m.add("grad_norm", report.grad_norm);
        if (run_.loss_scale) m.add("loss_scale", report.loss_scale);
        if (!run_.device.is_host()) m.add("memory_mib", double(run_.arena.peak() >> 20));
        m.add("samples_per_s", rate);
        write(log, board, step, m);
      }
      if (last || (recipe.evaluate_every > 0 && (step + 1) % recipe.evaluate_every == 0)) {
        const Metrics seen = work->watch(model);
        if (!seen.values.empty()) {
          write(log, board, step, seen);
          progress.note(fmt::format("{}: step {}: {}", name_, step + 1, short_text(seen)));
        }
        since = std::chrono::steady_clock::now();
      }
      if (last) break;
      const bool stop = interrupted();
      if (stop || (recipe.save_every > 0 && (step + 1) % recipe.save_every == 0))
        save_resume_point(model, directory, step + 1, metadata, optimizer.progress());
      if (stop) {
        progress.finish();
        return Outcome::kInterrupted;
      }
    }
    std::map<std::string, std::string> final = metadata;
    final["mome.steps"] = std::to_string(stage_.steps);
    save_weights(model, stage_checkpoint(recipe, name_), stage_.average > 0, final);
    std::error_code ignored;
    fs::remove_all(directory, ignored);  // resume points of a finished stage serve nobody
    progress.finish();
    run_.note = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
    return Outcome::kDone;
  }

 private:
  // Initial values, overwritten by the previous stage's checkpoint.
  void start(MomeModel& model) {
    const Recipe& recipe = run_.recipe;
    model.parameters().initialize(uint64_t(recipe.seed));
    std::string previous;
    for (const char* s : kStages) {
      if (name_ == s) break;
      if (fs::exists(stage_checkpoint(recipe, s))) previous = stage_checkpoint(recipe, s);
    }
    if (!previous.empty()) {
      const LoadReport report = load_weights(model, previous);
      run_.note(fmt::format("{}: starts from {} ({} parameters of {} are new)", name_, previous, report.fresh.size(),
                            model.parameters().list().size()));
    }
    if (name_ == "pairs") {
      const std::string& from = recipe.stages.pairs.vl_start;
      if (from == "language") model.copy_language_experts();
      else if (from != "random") fail("recipe: stages.pairs.vl_start = \"{}\" is unknown; expected \"random\" or \"language\"", from);
    }
  }
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
    log.write(base_ + step, fields);
  }

  RunParts& run_;
  std::string name_;
  const StageConfig& stage_;
  int64_t base_ = 0;  // steps of the stages before
};

void check(const Recipe& r) {
  check(r.model);
  const auto want = [](bool ok, const std::string& key, const std::string& what) {
    if (!ok) fail("recipe: {}: {}", key, what);
  };
  want(!r.output.empty(), "output", "a folder is expected");
  want(r.log_every >= 1, "log_every", "at least 1 is expected");
  const std::pair<const char*, const StageConfig*> stages[] = {
      {"image", &r.stages.image}, {"text", &r.stages.text}, {"pairs", &r.stages.pairs}};
  for (const auto& [name, s] : stages) {
    const std::string pre = fmt::format("stages.{}.", name);
    want(s->steps >= 0, pre + "steps", "0 or more is expected");
    want(s->batch >= 1, pre + "batch", "at least 1 is expected");
    want(s->warmup >= 0 && (s->steps == 0 || s->warmup <= s->steps), pre + "warmup", "0 to `steps` is expected");
    want(s->drop_path >= 0 && s->drop_path < 1, pre + "drop_path", "a rate from 0 to below 1 is expected");
    want(s->dropout >= 0 && s->dropout < 1, pre + "dropout", "a rate from 0 to below 1 is expected");
    want(s->beta1 >= 0 && s->beta1 < 1 && s->beta2 >= 0 && s->beta2 < 1, pre + "beta1, beta2", "from 0 to below 1 is expected");
    want(s->average >= 0 && s->average < 1, pre + "average", "from 0 to below 1 is expected");
  }
  want(r.stages.image.mask_ratio > 0 && r.stages.image.mask_ratio <= 1, "stages.image.mask_ratio", "above 0 up to 1 is expected");
  const std::string& texts = r.stages.pairs.itm_texts;
  want(texts == "hard" || texts == "random", "stages.pairs.itm_texts", fmt::format("\"{}\" is unknown; expected \"hard\" or \"random\"", texts));
}

}  // namespace

std::string stage_checkpoint(const Recipe& recipe, const std::string& stage) { return recipe.output + "/" + stage + ".safetensors"; }

Outcome pretrain(const Recipe& recipe, const std::string& only) {
  check(recipe);
  if (recipe.compute_threads > 0) omp_set_num_threads(int(recipe.compute_threads));
  const std::unique_ptr<Device> device = Device::open(recipe.device);
  RunParts run{recipe, *device, compute_dtype(recipe, *device), Arena(*device), {}, [](const std::string& line) { fmt::print(stderr, "{}\n", line); }};
  const bool texts = (only != "image") && (recipe.stages.text.steps > 0 || recipe.stages.pairs.steps > 0);
  if (texts) {
    if (recipe.data.vocabulary.empty()) fail("recipe: data.vocabulary is empty; expected a WordPiece vocab.txt");
    run.words.emplace(WordPiece::load(recipe.data.vocabulary));
    if (run.words->size() != recipe.model.vocabulary)
      fail("recipe: model.vocabulary is {}, but {} has {} tokens", recipe.model.vocabulary, recipe.data.vocabulary, run.words->size());
  }
  fs::create_directories(recipe.output);
  catch_interrupts();
  for (const char* name : kStages) {
    if (!only.empty() && only != name) continue;
    const StageConfig& stage = std::string(name) == "image"  ? static_cast<const StageConfig&>(recipe.stages.image)
                               : std::string(name) == "text" ? static_cast<const StageConfig&>(recipe.stages.text)
                                                             : static_cast<const StageConfig&>(recipe.stages.pairs);
    if (stage.steps == 0) {
      if (!only.empty()) fail("recipe: stages.{}.steps is 0: there is nothing to train", name);
      continue;
    }
    if (fs::exists(stage_checkpoint(recipe, name))) {
      run.note(fmt::format("{}: done before ({})", name, stage_checkpoint(recipe, name)));
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    if (StageRun(run, name, stage).train() == Outcome::kInterrupted) return Outcome::kInterrupted;
    run.note(fmt::format("{}: {} steps in {}; {}", name, stage.steps,
                         format_duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()),
                         stage_checkpoint(recipe, name)));
  }
  return Outcome::kDone;
}

}  // namespace mome
