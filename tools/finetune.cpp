// `mome finetune`: a pretrained checkpoint on a downstream task.
#include "models/finetune/finetune.h"

#include <CLI/CLI.hpp>

#include "runtime/config/recipe.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string recipe, task, checkpoint, train, val, image_root, vocabulary, output, device, dtype;
  std::vector<std::string> set;
  bool print = false;
};

FinetuneRecipe recipe_of(const Options& o) {
  // What the defaults are depends on the task, which the file may name.
  std::string task = o.task;
  if (task.empty()) task = load_recipe<FinetuneRecipe>(o.recipe, o.set).task;
  if (task.empty()) throw UsageError("--task is needed, or a recipe that names the task");
  FinetuneRecipe r = load_recipe<FinetuneRecipe>(o.recipe, o.set, finetune_defaults(parse_task(task)));
  r.task = task;
  const std::pair<const std::string&, std::string&> given[] = {
      {o.checkpoint, r.checkpoint}, {o.train, r.data.train},           {o.val, r.data.val},
      {o.image_root, r.data.image_root}, {o.vocabulary, r.data.vocabulary}, {o.output, r.output},
      {o.device, r.device},         {o.dtype, r.dtype}};
  for (const auto& [value, field] : given)
    if (!value.empty()) field = value;
  return r;
}

void run(const Options& o) {
  const FinetuneRecipe recipe = recipe_of(o);
  if (o.print) return fmt::print("{}", print_recipe(recipe));
  if (finetune(recipe) == Outcome::kInterrupted)
    fmt::print(stderr, "stopped and saved; the same command goes on from there\n");
}

}  // namespace

void add_finetune_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand(
      "finetune", "Train a pretrained model on a task; goes on where it was stopped");
  auto o = std::make_shared<Options>();
  c->add_option("recipe", o->recipe,
                "TOML file; without one, and for keys that it does not have, the published values of "
                "the task for VLMo-Base; --print shows all keys");
  c->add_option("--task", o->task,
                "retrieval, vqa, nlvr2, snli-ve or image-classification; default: the recipe's");
  c->add_option("--checkpoint", o->checkpoint,
                "the pretrained model: safetensors or a PyTorch file, of VLMo or BEiT");
  c->add_option("--train", o->train,
                "training data, files with commas between them. vqa: VQAv2 questions and "
                "annotations, easy-VQA; nlvr2, snli-ve: JSON lines; image-classification: a folder "
                "of class folders; retrieval: as `mome pretrain`; each: plain JSON lines {\"image\", "
                "\"text\", \"label\"}");
  c->add_option("--val", o->val, "held-out data to watch the task's figure on");
  c->add_option("--image-root", o->image_root, "folder of the images that the data name");
  c->add_option("--vocabulary", o->vocabulary, "vocab.txt; default: the one beside the checkpoint");
  c->add_option("--output", o->output, "folder of checkpoints and logs");
  c->add_option("--device", o->device, "cpu, cuda, cuda:N or simt; default: the recipe's");
  c->add_option("--dtype", o->dtype, "f32, fp16 or bf16, on a GPU; default: the recipe's");
  c->add_option("--set", o->set, "key=value, e.g. training.epochs=3; may be given again")->take_all();
  c->add_flag("--print", o->print, "print the effective recipe and do nothing");
  c->callback([o] { run(*o); });
}

}  // namespace mome
