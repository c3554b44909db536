// `mome plan`: what a training run will cost, before it is paid for.
#include "models/plan/plan.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/stages/config.h"
#include "runtime/config/recipe.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "tools/commands.h"

namespace mome {
namespace {

using json = nlohmann::ordered_json;
constexpr double kGiB = 1024.0 * 1024 * 1024;

struct Options {
  std::string model, recipe, gpu, dtype, stage = "pairs", implementation, recompute = "none",
                                         kernels, json_file;
  int64_t gpus = 0, batch = 0, steps = 0, micro_batch = 0, per_node = 8;
  double epochs = 0, samples = 0;
  ShapeOptions shape;
  bool zero = false, published = false;
};

Implementation implementation_of(const Options& o) {
  if (o.implementation == "official") return Implementation::kOfficial;
  if (o.implementation == "mome") return Implementation::kMome;
  // A recipe is this engine's; a name stands for the published run.
  return o.recipe.empty() ? Implementation::kOfficial : Implementation::kMome;
}

Recompute recompute_of(const std::string& word) {
  return word == "none"      ? Recompute::kNone
         : word == "experts" ? Recompute::kExperts
                             : Recompute::kBlocks;
}

const StageConfig& stage_config(const Recipe& r, Stage stage) {
  if (stage == Stage::kImage) return r.stages.image;
  if (stage == Stage::kText) return r.stages.text;
  return r.stages.pairs;
}

PlanSetup setup_of(Options& o) {
  if (o.model.empty() == o.recipe.empty())
    throw UsageError("one of --model and --recipe is expected");
  PlanSetup s;
  const Implementation implementation = implementation_of(o);
  o.shape.stage = stage_of(o.stage);
  o.shape.recompute = recompute_of(o.recompute);
  const PublishedRun* published = published_run(o.model);
  s.gpu = gpu_named(!o.gpu.empty() ? o.gpu
                    : published    ? published->gpu
                                : throw UsageError("--gpu is needed: it says what the run is on"));
  s.dtype = o.shape.dtype = !o.dtype.empty() ? plan_dtype(o.dtype)
                            : published      ? published->dtype
                            : s.gpu.bf16     ? DType::kBF16
                                             : DType::kF16;
  s.gpus = o.gpus > 0 ? o.gpus : published ? published->gpus : 1;
  s.batch = o.batch > 0 ? o.batch : published ? published->batch : 0;
  s.steps = o.steps > 0 ? o.steps : published ? published->steps : 0;
  s.per_node = o.per_node;
  s.micro_batch = o.micro_batch;
  s.zero = o.zero;
  if (implementation == Implementation::kOfficial) {
    const auto ours = [](bool given, const char* option) {
      if (given)
        throw UsageError(fmt::format(
            "{}: the published implementations have no such thing; add --implementation mome",
            option));
    };
    ours(o.zero, "--zero");
    ours(o.recompute != "none", "--recompute");
    ours(!o.kernels.empty(), "--kernels");
    ours(!o.recipe.empty(), "--recipe");
    s.model = official_model(o.model, o.shape);
  } else if (!o.recipe.empty()) {
    const Recipe recipe = load_recipe<Recipe>(o.recipe, {});
    ModelConfig c = recipe.model;
    if (o.shape.stage == Stage::kText && recipe.stages.text.text_length > 0)
      c.text_length = recipe.stages.text.text_length;
    if (o.shape.image_size > 0) c.image_size = o.shape.image_size;
    if (o.shape.text_length > 0) c.text_length = o.shape.text_length;
    check(c);
    const StageConfig& stage = stage_config(recipe, o.shape.stage);
    if (o.batch == 0) s.batch = stage.batch;
    if (o.steps == 0) s.steps = stage.steps;
    if (stage.recompute && o.recompute == "none") o.shape.recompute = Recompute::kExperts;
    s.model = engine_model(o.recipe, c, o.shape);
  } else {
    if (!is_vlmo(o.model))
      throw UsageError(fmt::format(
          "--model {}: this engine trains VLMo; --implementation official is for it", o.model));
    s.model = engine_model(o.model, vlmo_config(o.model, o.shape), o.shape);
  }
  if (s.batch < 1)
    throw UsageError("--batch is needed: no run of this model was published with one");
  if (o.epochs > 0) {
    if (o.steps > 0) throw UsageError("--steps and --epochs exclude each other");
    if (!(o.samples > 0)) throw UsageError("--epochs needs --samples, those of an epoch");
    s.steps = int64_t(o.epochs * o.samples / double(s.batch));
  }
  if (s.steps < 1) throw UsageError("--steps is needed (or --epochs with --samples)");
  s.rates = o.kernels.empty() ? published_rates(s.gpu, s.dtype, implementation, s.model.tokens)
                              : measured_rates(o.kernels, s.gpu, s.dtype, s.model.tokens);
  return s;
}

json seconds_of(const StepPlan& p) {
  const StepTime& t = p.time;
  return {{"products", t.products},           {"attention", t.attention},
          {"elementwise", t.streams},         {"optimizer", t.optimizer},
          {"launches", t.launches},           {"outside_kernels", t.outside},
          {"gradients_exposed", t.gradients}, {"contrast_exposed", t.contrast}};
}

json memory_json(const MemoryParts& m) {
  const auto gib = [](double bytes) { return bytes / kGiB; };
  return {{"weights", gib(m.weights)},          {"masters", gib(m.masters)},
          {"gradients", gib(m.gradients)},      {"moments", gib(m.moments)},
          {"momentum_copies", gib(m.momentum)}, {"activations", gib(m.activations)},
          {"scratch", gib(m.scratch)},          {"reserve", gib(m.reserve)}};
}

json plan_json(const Options& o, const PlanSetup& s, const StepPlan& p, const Scaling& scaling) {
  const Peak peak = assumed_peak(s);
  json out = {
      {"model", s.model.name},
      {"implementation", s.model.implementation == Implementation::kOfficial ? "official" : "mome"},
      {"stage", name_of(o.shape.stage)},
      {"parameters", int64_t(s.model.parameters)},
      {"gpu", s.gpu.name},
      {"gpus", s.gpus},
      {"gpus_per_node", s.per_node},
      {"batch", s.batch},
      {"batch_per_gpu", p.local},
      {"micro_batch", p.micro},
      {"steps", s.steps},
      {"dtype", name_of(s.dtype)},
      {"zero", s.zero},
      {"days", plan_days(p, s.steps)},
      {"gpu_hours", plan_days(p, s.steps) * 24 * double(s.gpus)},
      {"step_s", p.step_s()},
      {"samples_per_s", double(s.batch) / p.step_s()},
      {"mfu", plan_mfu(p, peak.flops)},
      {"peak_tflops", peak.flops * 1e-12},
      {"peak", peak.name},
      {"step_gflop", p.flops * 1e-9},
      {"memory_gib", p.memory.total() / kGiB},
      {"memory_of_gib", s.gpu.memory_gib},
      {"fits", p.fits},
      {"seconds", seconds_of(p)},
      {"communication_s", p.communication},
      {"memory", memory_json(p.memory)},
      {"rates", s.rates.source}};
  json curve = json::array();
  for (const ScalingPoint& point : scaling.points)
    curve.push_back({{"gpus", point.step.gpus},
                     {"days", plan_days(point.step, s.steps)},
                     {"step_s", point.step.step_s()},
                     {"efficiency", point.efficiency},
                     {"batch_per_gpu", point.step.local},
                     {"micro_batch", point.step.micro},
                     {"mfu", plan_mfu(point.step, peak.flops)},
                     {"memory_gib", point.step.memory.total() / kGiB},
                     {"fits", point.step.fits},
                     {"seconds", seconds_of(point.step)}});
  out["scaling"] = curve;
  out["breaks"] =
      scaling.breaks_at ? json{{"gpus", scaling.breaks_at}, {"why", scaling.why}} : json(nullptr);
  return out;
}

void print_plan(const Options& o, const PlanSetup& s, const StepPlan& p, const Scaling& scaling) {
  const Peak peak = assumed_peak(s);
  const double step = p.step_s(), days = plan_days(p, s.steps);
  const bool official = s.model.implementation == Implementation::kOfficial;
  fmt::print("{}: {:.1f} million parameters, stage {}, {}\n", s.model.name,
             s.model.parameters * 1e-6, name_of(o.shape.stage),
             official ? "the published implementation" : "this engine");
  fmt::print("{} x {} ({} a node), batch {} = {} x {}{}, {} steps{}\n\n", s.gpus, s.gpu.name,
             std::min(s.gpus, s.per_node), s.batch, s.gpus, p.local,
             p.micro < p.local ? fmt::format(" in micro-batches of {}", p.micro) : "", s.steps,
             s.zero ? ", ZeRO-1" : "");
  fmt::print(
      "time    {:.3g} days, {:.0f} GPU-hours: {:.3g} s a step, {:.0f} samples/s, {:.1f} a GPU\n",
      days, days * 24 * double(s.gpus), step, double(s.batch) / step, double(p.local) / step);
  fmt::print("MFU     {:.1f} % of {}\n", 100 * plan_mfu(p, peak.flops), peak.name);
  const auto share = [&](double seconds) { return 100 * seconds / step; };
  const StepTime& t = p.time;
  fmt::print(
      "step    products {:.0f} %, attention {:.0f} %, elementwise {:.0f} %, optimiser {:.0f} %, "
      "launches {:.0f} %, outside kernels {:.0f} %\n",
      share(t.products), share(t.attention), share(t.streams), share(t.optimizer),
      share(t.launches), share(t.outside));
  fmt::print(
      "network gradients {:.0f} ms, of which {:.1f} ms are seen ({:.1f} %); contrast and negatives "
      "{:.1f} ms ({:.1f} %)\n",
      1e3 * p.communication, 1e3 * t.gradients, share(t.gradients), 1e3 * t.contrast,
      share(t.contrast));
  fmt::print(
      "memory  {:.1f} GiB of {:.0f}: states {:.1f}, activations {:.1f}, scratch {:.1f}, reserve "
      "{:.1f}\n",
      p.memory.total() / kGiB, s.gpu.memory_gib, p.memory.states() / kGiB,
      p.memory.activations / kGiB, p.memory.scratch / kGiB, p.memory.reserve / kGiB);
  fmt::print("rates   {}\n\n", s.rates.source);
  fmt::print("  GPUs      days  efficiency  a GPU  MFU %    GiB\n");
  for (const ScalingPoint& point : scaling.points)
    fmt::print("  {:<6}{:>8.3g}  {:>8.0f} %  {:>5}  {:>5.1f}  {:>5.1f}{}\n", point.step.gpus,
               plan_days(point.step, s.steps), 100 * point.efficiency, point.step.local,
               100 * plan_mfu(point.step, peak.flops), point.step.memory.total() / kGiB,
               point.step.gpus == scaling.breaks_at ? "  breaks" : "");
  if (scaling.breaks_at)
    fmt::print("breaks at {} GPUs: {}\n", scaling.breaks_at, scaling.why);
  else
    fmt::print("scales to 1,024 GPUs with at least half of a node's efficiency\n");
}

void plan(Options o) {
  const PlanSetup s = setup_of(o);
  const StepPlan p = plan_step(s);
  if (!p.fits)
    fail(
        "{} with a micro-batch of {} needs {:.1f} GiB on a GPU, and {} has {:.0f}: {:.1f} GiB too "
        "much (states {:.1f}, activations {:.1f}, the rest {:.1f}){}",
        s.model.name, p.micro, p.memory.total() / kGiB, s.gpu.name, s.gpu.memory_gib,
        p.memory.total() / kGiB - s.gpu.memory_gib, p.memory.states() / kGiB,
        p.memory.activations / kGiB, (p.memory.scratch + p.memory.reserve) / kGiB,
        s.model.implementation == Implementation::kMome
            ? "; --zero, --recompute blocks and a smaller --micro-batch save some"
            : "");
  const Scaling scaling = plan_scaling(s);
  if (o.json_file == "-")
    fmt::print("{}\n", plan_json(o, s, p, scaling).dump(2));
  else
    print_plan(o, s, p, scaling);
  if (!o.json_file.empty() && o.json_file != "-")
    write_file_atomic(o.json_file, plan_json(o, s, p, scaling).dump(2) + "\n");
  if (o.json_file != "-" && s.model.implementation == Implementation::kOfficial &&
      is_vlmo(o.model)) {
    o.implementation = "mome";
    PlanSetup ours = setup_of(o);
    ours.micro_batch = 0;
    const StepPlan q = plan_step(ours);
    fmt::print(
        "this engine on the same GPUs, if nothing is lost outside kernels: {:.3g} days "
        "(--implementation mome)\n",
        plan_days(q, s.steps));
  }
}

void print_published() {
  fmt::print("predicted  published  ratio  run\n");
  for (const PublishedRun& run : published_runs()) {
    const PlanSetup s = setup_of(run);
    const double days = plan_days(plan_step(s), run.steps), middle = (run.days + run.days_high) / 2;
    fmt::print("{:>7.2f} d  {:>7.2f} d  {:>5.2f}  {}, {} x {}, batch {}, {} steps{}\n", days,
               middle, days / middle, run.model, run.gpus, run.gpu, run.batch, run.steps,
               run.calibrates ? " (the wall share comes from it)" : "");
    fmt::print("                              {}\n", run.source);
  }
}

}  // namespace

void add_plan_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("plan",
                                         "Predict a training run: days, GPU-hours, step time, "
                                         "memory, communication, and how far it scales");
  auto o = std::make_shared<Options>();
  command->add_option(
      "--model", o->model,
      "vlmo-base, vlmo-base-plus, vlmo-large, vilt, albef, clip-b32, clip-b16 or vit-b16");
  command->add_option("--recipe", o->recipe,
                      "a TOML recipe instead: its model, and of the stage its batch and steps");
  command->add_option("--gpu", o->gpu,
                      "v100-16, v100-32 (v100), a100-40 (a100), a100-80, h100, h200 or rtx3090; "
                      "default: the published run's");
  command->add_option("--gpus", o->gpus, "how many; default: as published")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--gpus-per-node", o->per_node,
                   "joined by NVLink; nodes are joined by InfiniBand")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--batch", o->batch, "samples a step, of all GPUs; default: as published")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--micro-batch", o->micro_batch,
                   "samples of a GPU at a time; default: as many as fit")
      ->check(CLI::PositiveNumber);
  command->add_option("--steps", o->steps, "default: as published")->check(CLI::PositiveNumber);
  command->add_option("--epochs", o->epochs, "instead of steps, with --samples")
      ->check(CLI::PositiveNumber);
  command->add_option("--samples", o->samples, "samples of an epoch")->check(CLI::PositiveNumber);
  command->add_option("--stage", o->stage, "of VLMo: image, text or pairs")->capture_default_str();
  command->add_option("--image-size", o->shape.image_size, "pixels; default: the model's")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--text-length", o->shape.text_length,
                   "longest text in tokens; default: the model's")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--text-tokens", o->shape.text_tokens,
                   "a text's real length, which this engine packs; default: 12, as captions of "
                   "COCO, in stage text 128")
      ->check(CLI::PositiveNumber);
  command->add_option("--dtype", o->dtype, "f32, fp16 or bf16; default: as published");
  command
      ->add_option("--implementation", o->implementation,
                   "official: the published PyTorch code, padded, unfused, with the share of time "
                   "outside kernels that published runs have; "
                   "mome: this engine, packed, with the best published kernels or --kernels. "
                   "Default: official for --model, mome for --recipe")
      ->check(CLI::IsMember({"official", "mome"}));
  command->add_flag("--zero", o->zero, "ZeRO-1: optimiser state cut over the ranks");
  command
      ->add_option("--recompute", o->recompute,
                   "activations made again in backward: none, experts or blocks")
      ->check(CLI::IsMember({"none", "experts", "blocks"}))
      ->capture_default_str();
  command->add_option("--kernels", o->kernels,
                      "kernel table measured on this kind of GPU (CSV of tools/gpu_check.sh)");
  command->add_option("--json", o->json_file,
                      "write the plan as JSON to this file too; -: print nothing else");
  command->add_flag("--published", o->published,
                    "compare predictions with published runs and exit");
  command->footer(
      fmt::format("Prediction: FLOPs and bytes of every kernel family over its rate, an alpha-beta "
                  "model of NVLink and InfiniBand, and one constant for published\n"
                  "code, the share of wall time inside kernels ({}). That constant carries the "
                  "fit: it comes from three other runs (OpenCLIP B/32 and B/16, a\n"
                  "ViT-B/16), not from those that --published compares. Days are of training steps "
                  "alone, without evaluation and checkpoints.",
                  kPublishedWallShare));
  command->callback([o] { o->published ? print_published() : plan(*o); });
}

}  // namespace mome
