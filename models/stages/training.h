// The training loop that every stage and every fine-tuning goes through: steps, log, checks on held-out data, resume points,
// the final checkpoint.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "models/mome/model.h"
#include "models/objectives/objectives.h"
#include "models/stages/config.h"
#include "runtime/comm/lifeline.h"
#include "runtime/comm/open.h"
#include "runtime/config/recipe.h"
#include "runtime/data/loader.h"
#include "runtime/data/record.h"
#include "runtime/text/wordpiece.h"

namespace mome {

/// What interrupted a run, if anything did.
enum class Outcome { kDone, kInterrupted };

/// What the steps of a run share.
struct RunParts {
  /// Joins the ranks that this process was started with (runtime/comm/open.h) and opens the device of `config` on this one;
  /// sets its threads. Lines for people go to standard error. Error for a dtype that the device does not compute in.
  explicit RunParts(const RunConfig& config);

  const RunConfig& config;
  World world;
  std::unique_ptr<Device> device;
  DType dtype;  // of activations and products
  Arena arena;
  std::optional<WordPiece> words;
  std::function<void(const std::string&)> note;  // of rank 0; what others would say is the same
  std::unique_ptr<Lifeline> lifeline;   // null: this process is alone
  std::unique_ptr<Communicator> ranks;  // null: this process is alone
  GradientSync* sync = nullptr;         // of the training that runs
  const float* loss_scale = nullptr;  // on the device; null: 1
  int64_t detour = 0;                 // batches that rollbacks left out (guard.h)

  /// What a step draws at random is of step + detour, as its batch is: a run that went back does not draw the same again.
  StepContext context(int64_t step) {
    return {arena, uint64_t(config.seed), uint64_t(step + detour), true, loss_scale, ranks.get(), sync};
  }
  bool is_first() const { return world.rank == 0; }
  /// What all ranks see alike, as the files of the output; Error where they do not.
  bool agree(bool mine) const;
  /// Loads the vocabulary; Error if it is not named or is not of the model's size.
  void load_words(const DataConfig& data, const ModelConfig& model);
  /// Opens a data set of the recipe and tells of its broken records; `key` says which for the message if it is not named.
  Dataset open(const DataConfig& data, const std::string& source, const std::string& split, const char* key);
  LoaderOptions loader_options(const DataConfig& data, const ModelConfig& model, const StageConfig& stage);
};

/// work(); an error of one rank ends all of them, and each prints it.
template <class F>
auto told_to_all(RunParts& run, F&& work) {
  try {
    return work();
  } catch (const std::exception& e) {
    if (run.lifeline) run.lifeline->give_up(e.what());
    throw;
  }
}

/// Everything that a step needs besides the model: where its batches come from, and what is done with one.
class TrainingWork {
 public:
  virtual ~TrainingWork() = default;
  virtual Metrics step(MomeModel& model, int64_t step) = 0;
  /// Figures on held-out data now and then; empty where there is nothing to watch. Rank 0's alone.
  virtual Metrics watch(MomeModel&) { return {}; }
  /// Of the last step: model FLOPs of this rank (models/plan/flops.h; 0: not known), seconds that it waited for its batch.
  virtual double flops(const MomeModel&) const { return 0; }
  virtual double waited() { return 0; }
};

struct Training {
  std::string name;                                 // of the stage or task: in the log, on the screen, of the files
  const StageConfig& stage;
  int64_t steps_before = 0;                         // in the same log: steps of earlier stages
  std::map<std::string, std::string> metadata = {};  // of the checkpoint; resume points must agree with it
  std::function<void(MomeModel&)> start = {};        // gives the parameters their values where there is no resume point
  std::function<std::unique_ptr<TrainingWork>(int64_t first)> work = {};  // its batches begin at that of step `first`
};

/// The checkpoint that a run ends with: OUTPUT/NAME.safetensors.
std::string final_checkpoint(const RunConfig& config, const std::string& name);

/// Goes on at the newest resume point, or starts. The model's rules (what is trained, decay, rates) are set. Writes
/// OUTPUT/log.jsonl, OUTPUT/tensorboard/NAME, OUTPUT/NAME/step-N.* (resume_point.h, saver.h) and the final checkpoint. Error where
/// gradients stay without a finite value, whatever the rollbacks of the recipe (guard.h).
Outcome train(RunParts& run, MomeModel& model, const Training& training);

/// Errors naming the first impossible value.
void check(const RunConfig& config);
/// `where`: the stage's table in the recipe.
void check(const StageConfig& stage, const std::string& where);

/// How a stage fits its batch into memory is no part of what it computes: another number of ranks may need it otherwise.
inline void forget_memory(StageConfig& stage) {
  stage.accumulate = 1;
  stage.recompute = "none";
}

/// What the resume points of a run must agree on: its recipe without what may change between two sittings.
template <class R>
std::string fingerprint(R recipe) {
  recipe.output.clear();
  recipe.device.clear();
  recipe.log_every = recipe.save_every = recipe.compute_threads = recipe.evaluate_every = 0;
  recipe.save_minutes = 0;
  recipe.keep = recipe.rollback_after = recipe.rollbacks = 0;
  recipe.bucket_mib = 0;
  recipe.zero = false;
  if constexpr (requires { recipe.stages; })
    forget_memory(recipe.stages.image), forget_memory(recipe.stages.text), forget_memory(recipe.stages.pairs);
  else
    forget_memory(recipe.training);
  recipe.data.threads = recipe.data.cache_mib = recipe.data.retries = 0;
  recipe.data.index_cache.clear();
  return print_recipe(recipe);
}

}  // namespace mome
