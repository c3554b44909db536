// `mome pretrain RECIPE` and `mome config RECIPE`.
#include <CLI/CLI.hpp>

#include "models/objectives/objectives.h"
#include "models/stages/trainer.h"
#include "runtime/config/recipe.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string recipe, stage, device, dtype;
  std::vector<std::string> set;
  bool as_published = false;
};

// Where the official code does what it was not meant to, mome does the right thing; these settings bring the official
// behaviour back: its list of what does not decay, masks on padding, captions of the same image as negatives, and the
// contrast's gradient divided by the number of devices, 64 for VLMo-Base.
const std::vector<std::string> kAsPublished = {
    "stages.text.decay=as-published",   "stages.pairs.decay=as-published",
    "stages.text.masking=as-published", "stages.pairs.masking=as-published", "stages.pairs.duplicates=as-published",
    "stages.pairs.itc_world=64"};

void add_recipe_options(CLI::App* command, const std::shared_ptr<Options>& o) {
  command->add_option("recipe", o->recipe, "TOML file; `mome config` prints all its keys with their meaning")->required();
  command->add_option("--set", o->set, "key=value, e.g. stages.pairs.steps=500; may be given again")->take_all();
  command->add_flag("--as-published", o->as_published,
                    fmt::format("the official code's behaviour where it is a defect; wins over the recipe, and --set over it. The same as --set {}",
                                fmt::join(kAsPublished, " --set ")));
}

Recipe load(const Options& o) {
  std::vector<std::string> set = o.as_published ? kAsPublished : std::vector<std::string>{};
  set.insert(set.end(), o.set.begin(), o.set.end());
  const Recipe recipe = load_recipe<Recipe>(o.recipe, set);
  check_objective(recipe.stages.text);
  check_objective(recipe.stages.pairs);
  return recipe;
}

}  // namespace

void add_pretrain_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("pretrain", "Train the stages of a recipe in order; goes on where it was stopped");
  auto o = std::make_shared<Options>();
  add_recipe_options(command, o);
  command->add_option("--stage", o->stage, "one stage alone: image, text or pairs")->check(CLI::IsMember({"image", "text", "pairs"}));
  command->add_option("--device", o->device, "cpu, cuda, cuda:N, or simt (the CUDA kernels interpreted on the CPU: for tiny models); default: the recipe's");
  command->add_option("--dtype", o->dtype, "f32, fp16 or bf16, on a GPU; default: the recipe's");
  command->callback([o] {
    Recipe recipe = load(*o);
    if (!o->device.empty()) recipe.device = o->device;
    if (!o->dtype.empty()) recipe.dtype = o->dtype;
    if (pretrain(recipe, o->stage) == Outcome::kInterrupted)
      fmt::print(stderr, "stopped and saved; the same command goes on from there: mome pretrain {}{}{}\n", o->recipe,
                 o->as_published ? " --as-published" : "", o->stage.empty() ? "" : " --stage " + o->stage);
  });
}

void add_config_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("config", "Print the effective recipe: every key, its value and its meaning");
  auto o = std::make_shared<Options>();
  add_recipe_options(command, o);
  command->callback([o] { fmt::print("{}", print_recipe(load(*o))); });
}

}  // namespace mome
