#include "models/stages/trainer.h"

#include <chrono>
#include <filesystem>

#include "kernels/image/normalize.h"
#include "models/objectives/codebook.h"
#include "models/plan/flops.h"
#include "models/stages/checkpoint.h"
#include "models/stages/pair_work.h"
#include "runtime/data/dataset.h"
#include "runtime/log/interrupt.h"
#include "runtime/log/progress.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

// Codes are looked up on the CPU, whatever device trains.
Tensor host_patches(const ModelConfig& c, const Batch& batch, std::vector<float>& memory) {
  memory.resize(size_t(batch.size * c.patches() * 3 * c.patch * c.patch));
  patches_from_images<float>(cpu, batch.images.data(), batch.size, int(c.image_size), int(c.patch), Normalization{}, memory.data());
  return {memory.data(), batch.size * c.patches(), 3 * c.patch * c.patch, DType::kF32};
}

class ImageWork : public TrainingWork {
 public:
  ImageWork(RunParts& run, const Recipe& recipe, int64_t first)
      : run_(run),
        stage_(recipe.stages.image),
        dataset_(recipe.data.images.empty() ? run.open(recipe.data, recipe.data.train, recipe.data.train_split, "train")
                                            : run.open(recipe.data, recipe.data.images, "", "images")) {
    LoaderOptions o = run.loader_options(recipe.data, recipe.model, stage_);
    o.texts = false;
    loader_.emplace(dataset_, nullptr, o, first);
    if (!stage_.codebook.empty()) codebook_.emplace(stage_.codebook);
  }
  Metrics step(MomeModel& model, int64_t step) override {
    batch_ = &loader_->next();
    std::vector<int32_t> codes;
    if (codebook_) codes = codebook_->codes(host_patches(model.config(), *batch_, patches_));
    return image_step(model, stage_, *batch_, codebook_ ? &codes : nullptr, run_.context(step));
  }
  double flops(const MomeModel& model) const override {
    return training_flops(model.config(), Stage::kImage, batch_rows(model.config(), Stage::kImage, *batch_, stage_.mask_ratio));
  }
  double waited() override { return loader_->waited(); }
  static int64_t classes(const ImageStageConfig& stage) { return stage.codebook.empty() ? 0 : Codebook(stage.codebook).size(); }

 private:
  RunParts& run_;
  const ImageStageConfig& stage_;
  Dataset dataset_;
  std::optional<PairLoader> loader_;
  std::optional<Codebook> codebook_;
  std::vector<float> patches_;
  const Batch* batch_ = nullptr;  // of the last step
};

class TextWork : public TrainingWork {
 public:
  TextWork(RunParts& run, const Recipe& recipe, int64_t first) : run_(run), stage_(recipe.stages.text) {
    std::vector<std::string> lines;
    if (!recipe.data.text.empty()) {
      lines = read_text_lines(recipe.data.text);
    } else {
      const Dataset pairs = run.open(recipe.data, recipe.data.train, recipe.data.train_split, "train");
      for (const Record& r : pairs.records) lines.insert(lines.end(), r.captions.begin(), r.captions.end());
    }
    LoaderOptions o = run.loader_options(recipe.data, recipe.model, stage_);
    if (stage_.text_length > 0) o.text_length = int(stage_.text_length);
    loader_.emplace(std::move(lines), *run.words, o, first);
  }
  Metrics step(MomeModel& model, int64_t step) override {
    batch_ = &loader_->next();
    return text_step(model, stage_, *batch_, *run_.words, run_.context(step));
  }
  double flops(const MomeModel& model) const override {
    return training_flops(model.config(), Stage::kText, batch_rows(model.config(), Stage::kText, *batch_, stage_.mask_rate));
  }
  double waited() override { return loader_->waited(); }

 private:
  RunParts& run_;
  const TextStageConfig& stage_;
  std::optional<TextLoader> loader_;
  const Batch* batch_ = nullptr;  // of the last step
};

// Initial values, overwritten by the previous stage's checkpoint.
void start(MomeModel& model, const std::string& name, const Recipe& recipe, RunParts& run) {
  model.parameters().initialize(uint64_t(recipe.seed));
  std::string previous;
  for (const char* s : kStages) {
    if (name == s) break;
    if (fs::exists(final_checkpoint(recipe, s))) previous = final_checkpoint(recipe, s);
  }
  if (!previous.empty()) {
    const LoadReport report = load_weights(model, previous);
    run.note(fmt::format("{}: starts from {} ({} parameters of {} are new)", name, previous, report.fresh.size(),
                         model.parameters().list().size()));
  }
  if (name == "pairs") {
    const std::string& from = recipe.stages.pairs.vl_start;
    if (from == "language") model.copy_language_experts();
    else if (from != "random") fail("recipe: stages.pairs.vl_start = \"{}\" is unknown; expected \"random\" or \"language\"", from);
  }
}

Outcome train_stage(RunParts& run, const std::string& name, const Recipe& recipe, const StageConfig& stage) {
  ModelConfig config = recipe.model;
  if (name == "text" && recipe.stages.text.text_length > 0) config.text_length = recipe.stages.text.text_length;
  const ModelParts parts = name == "image"  ? ModelParts::stage_image(ImageWork::classes(recipe.stages.image))
                           : name == "text" ? ModelParts::stage_text()
                                            : ModelParts::stage_pairs();
  MomeModel model(config, parts, run.dtype, *run.device);
  apply_rules(model.parameters(), stage);
  Training training{name, stage};
  if (name != "image") training.steps_before += recipe.stages.image.steps;
  if (name == "pairs") training.steps_before += recipe.stages.text.steps;
  training.metadata = {{"mome.stage", name}, {"mome.recipe", fingerprint(recipe)}};
  training.start = [&](MomeModel& m) { start(m, name, recipe, run); };
  training.work = [&](int64_t first) -> std::unique_ptr<TrainingWork> {
    if (name == "image") return std::make_unique<ImageWork>(run, recipe, first);
    if (name == "text") return std::make_unique<TextWork>(run, recipe, first);
    return std::make_unique<PairWork>(run, recipe.data, recipe.model, recipe.stages.pairs, first);
  };
  return train(run, model, training);
}

void check(const Recipe& r) {
  check(r.model);
  check(static_cast<const RunConfig&>(r));
  check(r.stages.image, "stages.image");
  check(r.stages.text, "stages.text");
  check(r.stages.pairs, "stages.pairs");
  check_objective(r.stages.text);
  check_objective(r.stages.pairs);
  const auto want = [](bool ok, const std::string& key, const std::string& what) {
    if (!ok) fail("recipe: {}: {}", key, what);
  };
  want(r.stages.image.mask_ratio > 0 && r.stages.image.mask_ratio <= 1, "stages.image.mask_ratio", "above 0 up to 1 is expected");
  const std::string& texts = r.stages.pairs.itm_texts;
  want(texts == "hard" || texts == "random", "stages.pairs.itm_texts", fmt::format("\"{}\" is unknown; expected \"hard\" or \"random\"", texts));
}

Outcome train_stages(RunParts& run, const Recipe& recipe, const std::string& only) {
  if (only != "image" && (recipe.stages.text.steps > 0 || recipe.stages.pairs.steps > 0)) run.load_words(recipe.data, recipe.model);
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
    if (run.agree(fs::exists(final_checkpoint(recipe, name)))) {
      run.note(fmt::format("{}: done before ({})", name, final_checkpoint(recipe, name)));
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    if (train_stage(run, name, recipe, stage) == Outcome::kInterrupted) return Outcome::kInterrupted;
    run.note(fmt::format("{}: {} steps in {}; {}", name, stage.steps,
                         format_duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()),
                         final_checkpoint(recipe, name)));
  }
  return Outcome::kDone;
}

}  // namespace

Outcome pretrain(const Recipe& recipe, const std::string& only) {
  check(recipe);
  RunParts run(recipe);
  return told_to_all(run, [&] { return train_stages(run, recipe, only); });
}

}  // namespace mome
