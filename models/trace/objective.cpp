// Losses, gradients and optimiser steps of a trace, by the code that trains.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/stages/trainer.h"
#include "models/trace/run.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"

namespace mome {
namespace {

/// Stage 3 with the losses of the mode alone; weights as published.
PairStageConfig pair_stage(const std::string& mode) {
  PairStageConfig stage;
  stage.drop_path = stage.dropout = 0;
  if (mode != "stage3" && mode != "itc" && mode != "irtr") stage.itc_weight = 0;
  return stage;
}

/// Stage 2, with its freezing.
TextStageConfig text_stage() {
  TextStageConfig stage;
  stage.drop_path = stage.dropout = 0;
  return stage;
}

/// The texts, each pair distinct from every other one.
Batch pair_batch(const TraceBatch& from) {
  Batch batch;
  batch.size = int(from.size);
  batch.image_ids.resize(size_t(from.size));
  std::iota(batch.image_ids.begin(), batch.image_ids.end(), 0);
  batch.caption_ids = batch.image_ids;
  batch.text_begin.assign(size_t(from.size) + 1, 0);
  if (!from.texts.empty()) pack_texts(from.texts, batch);
  return batch;
}

/// A factor on the loss that keeps gradients in half precision from vanishing, on the device.
class LossScale {
 public:
  LossScale(Arena& arena, float value) : arena_(arena), place_(arena.tensor(1, 1, DType::kF32)) {
    arena_.device().upload(place_.data, &value, sizeof value);
  }
  ~LossScale() { arena_.release(place_.data); }
  LossScale(const LossScale&) = delete;
  const void* device() const { return place_.data; }

 private:
  Arena& arena_;
  Tensor place_;
};

bool gradients_are_finite(const ParameterSet& p) {
  for (int i = 0; i < int(p.list().size()); ++i) {
    if (!p.reached(i)) continue;
    const std::vector<double> values = values_of(p.device(), p.grad(i));
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }))
      return false;
  }
  return true;
}

void add_losses(const TraceRun& run, const Metrics& m) {
  const std::string& mode = run.mode.name;
  const bool all = mode == "stage3";
  const PairStageConfig stage = pair_stage(mode);
  if (mode == "textmlm") run.out.add_scalar("out.mlm_loss", m.get("loss"));
  if (all || mode == "mlm") run.out.add_scalar("out.mlm_loss", stage.mlm_weight * m.get("mlm"));
  if (all || mode == "itc") {
    const double tail = m.get("itc_tail");  // not a number if there is none
    const double both = std::isnan(tail) ? m.get("itc") : 0.5 * (m.get("itc") + tail);
    run.out.add_scalar("out.itc_loss", stage.itc_weight * both);
  }
  if (all || mode == "itm") run.out.add_scalar("out.itm_loss", stage.itm_weight * m.get("itm"));
  if (run.mode.targets || mode == "irtr")
    run.out.add_scalar("out." + mode + "_loss", m.get("loss"));
  run.out.add_scalar("out.loss", m.get("loss"));
}

}  // namespace

Metrics objective(const TraceRun& run, int64_t step, bool train, const void* loss_scale) {
  const std::string& mode = run.mode.name;
  const StepContext context{run.arena, 0, uint64_t(step), train, loss_scale};
  if (mode == "textmlm") return text_losses(run.model, text_stage(), run.batch.masked, context);
  const Batch batch = pair_batch(run.batch);
  if (run.mode.targets) {
    const Task task = mode == "vqa" ? Task::kVqa : Task::kNlvr2;
    return classify_losses(run.model, pair_stage(mode),
                           {task, &batch, run.patches, &run.batch.targets}, context);
  }
  PairInputs inputs;
  inputs.batch = &batch;
  inputs.patches = run.patches;
  inputs.masked = run.batch.masked;
  if (run.mode.negatives) {
    inputs.matched = run.batch.size;
    inputs.negatives = run.batch.negatives[run.batch.negatives.size() == 1 ? 0 : size_t(step)];
  }
  return pair_losses(run.model, pair_stage(mode), inputs, context);
}

void apply_mode_rules(const TraceRun& run) {
  StageConfig stage = run.mode.name == "textmlm" ? static_cast<StageConfig>(text_stage())
                                                 : pair_stage(run.mode.name);
  stage.weight_decay = run.options.config.optimiser.weight_decay;
  stage.decay = run.options.as_published ? "as-published" : "matrices";
  apply_rules(run.model.parameters(), stage);
}

void write_losses(const TraceRun& run) {
  if (!run.options.gradients) return add_losses(run, objective(run, 0, false));
  ParameterSet& p = run.model.parameters();
  // As a training in half precision does: from 2^16 down to the first factor that nothing overflows
  // with.
  const bool scaled = p.compute_dtype() == DType::kF16;
  float scale = scaled ? 0x1p16f : 1;
  for (;; scale /= 2) {
    const LossScale place(run.arena, scale);
    p.zero_grads();
    const Metrics m = objective(run, 0, true, scaled ? place.device() : nullptr);
    if (scale > 1 && !gradients_are_finite(p)) continue;
    add_losses(run, m);
    break;
  }
  for (int i = 0; i < int(p.list().size()); ++i) {
    if (!p.reached(i)) continue;
    std::vector<double> values = values_of(p.device(), p.grad(i));
    for (double& v : values) v /= scale;
    run.out.add("grad." + p[i].name, p[i].shape, values);
  }
}

void write_steps(const TraceRun& run) {
  const TraceOptimiserConfig& c = run.options.config.optimiser;
  const int64_t n = run.options.steps;
  ParameterSet& p = run.model.parameters();
  Optimizer optimizer(p, {c.beta1, c.beta2, c.eps, c.clip, 0});
  const void* scale = p.compute_dtype() == DType::kF16 ? optimizer.loss_scale() : nullptr;
  std::vector<double> losses, rates;
  for (int64_t k = 0; k < n; ++k) {
    rates.push_back(learning_rate(c.schedule, c.lr, 0, c.warmup, c.steps > 0 ? c.steps : n, k));
    optimizer.set_rate(rates.back());
    for (bool taken = false;
         !taken;) {  // a loss scale that overflows is halved, and the step tried again
      p.zero_grads();
      const Metrics m = objective(run, k, true, scale);
      if (k == 0)  // a parameter without a gradient is passed over, decay included
        for (int i = 0; i < int(p.list().size()); ++i) p[i].trained = p.reached(i);
      optimizer.step();
      const OptimizerReport report = optimizer.report();
      taken = !report.skipped;
      if (taken) losses.push_back(m.get("loss"));
      if (!taken && (!scale || report.skipped_in_a_row >= Optimizer::kStuck))
        fail("{}: step {}: the gradient is not finite", run.mode.name, k);
    }
  }
  for (const char* prefix : {"out.", ""}) {  // as every output, and as the format names these two
    run.out.add(fmt::format("{}loss", prefix), {n}, losses);
    run.out.add(fmt::format("{}lr", prefix), {n}, rates);
  }
  for (int i = 0; i < int(p.list().size()); ++i)
    if (p[i].trained)
      run.out.add("param." + p[i].name, p[i].shape, values_of(p.device(), p.value(i)));
}

}  // namespace mome
