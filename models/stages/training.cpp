#include "models/stages/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "models/objectives/ranks.h"
#include "models/plan/machines.h"
#include "models/stages/checkpoint.h"
#include "models/stages/guard.h"
#include "models/stages/journal.h"
#include "models/stages/saver.h"
#include "runtime/log/interrupt.h"
#include "runtime/log/meter.h"
#include "runtime/log/outliers.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

OptimizerOptions optimizer_options(const StageConfig& s) {
  return {s.beta1, s.beta2, s.eps, s.clip, s.average};
}

// When the next resume point is due, by steps or by the clock.
class SaveClock {
 public:
  explicit SaveClock(const RunConfig& config) : config_(config) {}
  void restart() { since_ = std::chrono::steady_clock::now(); }
  bool due(int64_t steps) const {
    if (config_.save_every > 0 && steps % config_.save_every == 0) return true;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - since_;
    return config_.save_minutes > 0 && passed.count() >= 60 * config_.save_minutes;
  }

 private:
  const RunConfig& config_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

class Loop {
 public:
  Loop(RunParts& run, MomeModel& model, const Training& training)
      : run_(run),
        config_(run.config),
        model_(model),
        parameters_(model.parameters()),
        t_(training),
        name_(training.name),
        stage_(training.stage),
        directory_(config_.output + "/" + name_),
        sync_(make_sync()),
        optimizer_(parameters_, optimizer_options(stage_), sync_.get()),
        guard_(config_),
        clock_(config_),
        saver_channel_(sync_ && sync_->sharded() ? run.ranks->duplicate() : nullptr),
        saver_(directory_, {config_.keep, schedule()}, save_ranks()),
        meter_({step_peak(), run.world.size, {}}),
        note_(run.note) {
    run_.sync = sync_.get();
    run_.loss_scale = run_.dtype == DType::kF16 ? optimizer_.loss_scale() : nullptr;
    run_.note = [this](const std::string& line) { journal_ ? journal_->note(line) : note_(line); };
  }
  ~Loop() {
    run_.note = note_;
    run_.sync = nullptr;
  }
  Loop(const Loop&) = delete;

  Outcome train() {
    fs::create_directories(directory_);
    int64_t step = resume();
    while (step < stage_.steps) {
      saver_.check();
      if (run_.lifeline) run_.lifeline->tick(t_.steps_before + step);
      const Guard::Verdict verdict = take(step);
      if (verdict == Guard::Verdict::kStop) stop_stuck(step);
      if (verdict == Guard::Verdict::kRollBack) {
        step = roll_back(step);
        continue;
      }
      tell(step);
      if (++step == stage_.steps) break;
      const auto [stop, due] = decide(interrupted(), clock_.due(step));
      if (stop || (due && !guard_.in_bad_row())) save();
      if (stop) {
        wait_for_saves();
        if (journal_) journal_->finish();
        return Outcome::kInterrupted;
      }
    }
    finish();
    return Outcome::kDone;
  }

 private:
  // One step of the model. A loss that is not finite is treated as a gradient that is not: the step
  // is skipped.
  Guard::Verdict take(int64_t step) {
    parameters_.zero_grads();
    metrics_ = work_->step(model_, step);
    const bool finite_loss = std::none_of(metrics_.values.begin(), metrics_.values.end(),
                                          [](const auto& m) { return m.first == "loss" && !std::isfinite(m.second); });
    if (sync_) sync_->finish();
    if (!finite_loss) poison_gradients(parameters_);
    rate_ = learning_rate(stage_.schedule, stage_.learning_rate, stage_.final_rate, stage_.warmup,
                          stage_.steps, step);
    optimizer_.set_rate(rate_);
    optimizer_.step();
    report_ = optimizer_.report();
    meter_.input_wait(work_->waited());
    if (sync_) meter_.communication_wait(sync_->seconds().waited);
    meter_.step(stage_.batch, work_->flops(model_) * double(run_.world.size));
    if (report_.skipped)
      run_.note(fmt::format("{}: step {}: the {} is not finite; the step was skipped", name_, step, finite_loss ? "gradient" : "loss"));
    return guard_.after(step, report_, optimizer_.progress());
  }

  // The log's lines of a step, and the checks on held-out data.
  void tell(int64_t step) {
    const StepOutliers::Scores outlier = outliers_.add(metrics_.get("loss"), report_.grad_norm);
    if (outlier.large())
      run_.note(fmt::format("{}: step {} stands out: loss {:.4g} ({:+.1f} standard deviations), gradient norm {:.4g} ({:+.1f})", name_, step,
                            metrics_.get("loss"), outlier.loss.value_or(0), report_.grad_norm, outlier.grad_norm.value_or(0)));
    if (journal_) journal_->done(step, metrics_);
    const bool last = step + 1 == stage_.steps;
    if (step % config_.log_every == 0 || last) {
      Metrics m = metrics_;
      m.add("lr", rate_);
      m.add("grad_norm", report_.grad_norm);
      if (run_.loss_scale) m.add("loss_scale", report_.loss_scale);
      for (const auto& [key, value] : meter_.fields(run_.device->is_host() ? 0 : double(run_.arena.peak() >> 20))) m.add(key, value);
      if (outlier.loss) m.add("loss_z", *outlier.loss);
      if (outlier.grad_norm) m.add("grad_z", *outlier.grad_norm);
      if (journal_) journal_->write(step, m);
    }
    if (last || (config_.evaluate_every > 0 && (step + 1) % config_.evaluate_every == 0)) {
      if (sync_) sync_->settle();
      if (run_.is_first()) {  // the others wait for it at the next call that all make
        Lifeline::Unhurried unhurried(run_.lifeline.get());
        const Metrics seen = work_->watch(model_);
        if (!seen.values.empty()) {
          journal_->write(step, seen);
          run_.note(fmt::format("{}: step {}: {}", name_, step + 1, short_text(seen)));
        }
      }
      meter_.restart();
    }
  }

  // Points of these steps are there whatever interrupted the run: those that it goes back to.
  int64_t schedule() const { return std::max<int64_t>(1, config_.save_every); }

  // Goes on at the newest resume point, or starts. The step that comes next.
  int64_t resume() {
    if (stage_.average > 0) parameters_.keep_average();  // the memory that the point's is read to
    const std::optional<ResumePoint> point = load({});
    if (!point) return start({});
    begin(*point, point->detour);
    run_.note(fmt::format("{}: going on at step {} of {}", name_, point->step, stage_.steps));
    return point->step;
  }

  // Any rank that was interrupted stops all; when to save, rank 0 says.
  std::pair<bool, bool> decide(bool stop, bool due) const {
    if (!run_.ranks) return {stop, due};
    const auto sums = sum_over_ranks(run_.ranks.get(), {stop ? 1.0 : 0.0, due && run_.is_first() ? 1.0 : 0.0});
    return {sums[0] > 0, sums[1] > 0};
  }
  std::unique_ptr<GradientSync> make_sync() const {
    if (!run_.ranks) return nullptr;
    return std::make_unique<GradientSync>(parameters_, *run_.ranks, GradientSyncOptions{config_.bucket_mib << 20, config_.zero});
  }
  // What this rank keeps of the optimiser's state.
  StateShard shard() const {
    StateShard s;
    if (!sync_ || !sync_->sharded()) return s;
    s.rank = run_.world.rank, s.size = run_.world.size;
    for (const ArenaRange& r : sync_->shard()) s.ranges.emplace_back(r.begin, r.end);
    return s;
  }
  SaveRanks save_ranks() const {
    SaveRanks s;
    if (!saver_channel_) return s;
    s.shard = shard();
    s.from_first = [this](const std::string& text) {
      const auto all = run_.ranks->gather_host(run_.is_first() ? std::span<const char>(text) : std::span<const char>());
      return std::string(all[0].begin(), all[0].end());
    };
    s.all = [this](bool mine) { return sum_over_ranks(saver_channel_.get(), {mine ? 1.0 : 0.0})[0] == double(run_.world.size); };
    return s;
  }
  // Without shards rank 0 has all that is to be saved.
  bool saves() const { return run_.is_first() || saver_channel_; }
  void wait_for_saves() {
    Lifeline::Unhurried unhurried(run_.lifeline.get());
    saver_.wait();
    if (run_.ranks) run_.ranks->barrier();
  }
  std::optional<Peak> step_peak() const {
    switch (run_.device->kind()) {
      case DeviceKind::kCpu: return measured_cpu_peak();
#if defined(MOME_WITH_CUDA)
      case DeviceKind::kCuda: return device_peak(run_.device->cuda_queue().gpu_name(), run_.dtype);
#endif
      default: return {};
    }
  }
  int64_t start(const Detour& detour) {
    t_.start(model_);
    if (stage_.average > 0) parameters_.keep_average();
    begin({}, detour);
    return 0;
  }
  std::optional<ResumePoint> load(const Among& among) {
    std::vector<std::string> problems;
    Lifeline::Unhurried unhurried(run_.lifeline.get());
    std::optional<ResumePoint> point = load_resume_point(model_, directory_, t_.metadata, problems, shard(), among);
    const double step = point ? double(point->step) : -1;
    if (sum_over_ranks(run_.ranks.get(), {step})[0] != step * run_.world.size)
      fail("{}: rank {} finds another resume point there than the other ranks; the output must be on a file system that all ranks share", directory_,
           run_.world.rank);
    for (const std::string& p : problems) run_.note("a broken checkpoint was passed over: " + p);
    if (point) saved_ = point->step;
    return point;
  }
  // The model is at the point; batches, noise and logs follow it.
  void begin(const ResumePoint& point, const Detour& detour) {
    run_.detour = detour.batches;
    work_.reset();  // before the next one: its threads and its memory
    work_ = t_.work(point.step + detour.batches);
    journal_.reset();
    if (run_.is_first()) journal_.emplace(config_, t_, point.step);
    optimizer_.resume(point.progress);
    guard_.begin(point.step, optimizer_.progress(), detour);
    clock_.restart();
    meter_.restart();
  }

  // What the model holds: the state behind the last good step, which skipped steps did not change.
  void save() {
    ResumePoint point = guard_.good();
    clock_.restart();
    if (point.step == saved_) return;  // it is on the disk
    point.run = t_.metadata;
    if (sync_) sync_->settle();
    Lifeline::Unhurried unhurried(run_.lifeline.get());
    if (saves()) saver_.save(model_, point);
    meter_.restart();
    saved_ = point.step;
  }

  // Back to the last resume point of the schedule (the start, where there never was one), and on
  // without the batches since. A point that not one good step came after is hardly good itself: an
  // older one, where there is one.
  int64_t roll_back(int64_t bad_step) {
    wait_for_saves();
    if (sync_) sync_->settle();
    const int64_t good = guard_.good().step, row = guard_.bad_steps();
    std::optional<ResumePoint> point = load({good - 1, schedule()});
    if (!point) point = load({good, schedule()});
    if (!point && good > schedule()) point = load({good});  // those of the schedule are gone
    const int64_t step = point ? point->step : 0;
    const Detour detour = guard_.around(step, bad_step);
    if (point) {
      begin(*point, detour);
    } else {
      parameters_.zero_moments();
      start(detour);
    }
    if (journal_)
      journal_->event(step, "rollback",
                      {{"bad_steps", {bad_step + 1 - row, bad_step}}, {"batches_left_out", detour.batches}, {"rollbacks", detour.rollbacks}});
    run_.note(fmt::format("{}: steps {} to {} had no finite gradient: back to step {}, and on without the {} batches since (rollback {} of {})", name_,
                          bad_step + 1 - row, bad_step, step, bad_step + 1 - step, detour.rollbacks, config_.rollbacks));
    return step;
  }

  [[noreturn]] void stop_stuck(int64_t step) {
    save();
    wait_for_saves();
    const int64_t good = guard_.good().step, rollbacks = guard_.good().detour.rollbacks;
    fail(
        "{}: the gradients of {} steps in a row, {} to {}, were not finite (loss scale {}{}); "
        "stopped. {}/step-{:08}.safetensors holds the model "
        "after the last good step; try a lower learning_rate, a longer warmup or a clip",
        name_, guard_.bad_steps(), step + 1 - guard_.bad_steps(), step, report_.loss_scale,
        rollbacks > 0 ? fmt::format(", {} rollbacks", rollbacks) : "", directory_, good);
  }

  void finish() {
    wait_for_saves();
    if (sync_ && sync_->sharded()) {
      sync_->settle();
      if (stage_.average > 0) sync_->gather(parameters_.averages());
    }
    Lifeline::Unhurried unhurried(run_.lifeline.get());
    if (run_.is_first()) write_result();
    if (run_.ranks) run_.ranks->barrier();  // the next stage begins with what is there
  }
  void write_result() {
    std::map<std::string, std::string> metadata = t_.metadata;
    metadata["mome.steps"] = std::to_string(stage_.steps);
    save_weights(model_, final_checkpoint(config_, name_), stage_.average > 0, metadata);
    std::error_code ignored;
    fs::remove_all(directory_, ignored);  // resume points of a finished stage serve nobody
    journal_->finish();
  }

  RunParts& run_;
  const RunConfig& config_;
  MomeModel& model_;
  ParameterSet& parameters_;
  const Training& t_;
  const std::string& name_;
  const StageConfig& stage_;
  const std::string directory_;
  const std::unique_ptr<GradientSync> sync_;  // null: this process is alone
  Optimizer optimizer_;
  Guard guard_;
  SaveClock clock_;
  const std::unique_ptr<Communicator> saver_channel_;  // of shards that are written beside the training; null: there are none
  Saver saver_;
  StepMeter meter_;
  StepOutliers outliers_;
  const std::function<void(const std::string&)> note_;  // the run's, while there is no journal
  std::unique_ptr<TrainingWork> work_;
  std::optional<Journal> journal_;
  int64_t saved_ = -1;  // step of the newest resume point; -1: none
  // Of the last step.
  Metrics metrics_;
  OptimizerReport report_;
  double rate_ = 0;
};

}  // namespace

std::string final_checkpoint(const RunConfig& config, const std::string& name) {
  return config.output + "/" + name + ".safetensors";
}

Outcome train(RunParts& run, MomeModel& model, const Training& training) {
  Loop loop(run, model, training);
  // Told before the loop's end, which waits for calls that the other ranks may never answer.
  return told_to_all(run, [&] { return loop.train(); });
}

}  // namespace mome
