// Losses and gradients that are not finite, through the whole training loop: steps are skipped, a run goes back to its last resume
// point and on with other batches, and gives up in the end; killed or interrupted anywhere it comes to the same.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/common/philox.h"
#include "models/stages/guard.h"
#include "models/stages/trainer.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/interrupt.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Crash : std::runtime_error {
  Crash() : std::runtime_error("crash") {}
};

// What happens at which batch, counted as a run without trouble draws them.
struct Script {
  std::set<int64_t> bad_gradients = {}, bad_losses = {};
  int64_t crash = -1, interrupt = -1;
  std::vector<int64_t> drawn = {};
};
std::set<int64_t> from_to(int64_t begin, int64_t end) {
  std::set<int64_t> out;
  for (; begin < end; ++begin) out.insert(begin);
  return out;
}

// Gradients that depend on the batch, the noise and the weights, as real ones do.
class FakeWork : public TrainingWork {
 public:
  FakeWork(RunParts& run, Script& script, int64_t first) : run_(run), script_(script), next_(first) {}
  Metrics step(MomeModel& model, int64_t step) override {
    const int64_t batch = next_++;
    EXPECT_EQ(run_.context(step).step, uint64_t(batch));  // what is drawn at random goes along
    script_.drawn.push_back(batch);
    if (batch == script_.crash) throw Crash();
    if (batch == script_.interrupt) std::raise(SIGUSR1);
    ParameterSet& p = model.parameters();
    float* g = static_cast<float*>(p.grads());
    const float* w = static_cast<const float*>(p.values());
    RandomStream random(1, run_.context(step).step, Purpose::kTest, 0);
    for (const Parameter& q : p.list())  // padding between parameters has none
      for (int64_t i = q.begin; i < q.end(); ++i) g[i] = 0.1f * w[i] + 0.01f * float(random.uniform(-1, 1));
    if (script_.bad_gradients.contains(batch)) g[p[3].begin] = kNan;
    Metrics m;
    m.add("loss", script_.bad_losses.contains(batch) ? std::numeric_limits<double>::infinity() : w[0]);
    return m;
  }

 private:
  RunParts& run_;
  Script& script_;
  int64_t next_;
};

class Rollback : public testing::Test {
 protected:
  Rollback() {
    catch_interrupts();
    model_.image_size = 16, model_.patch = 8, model_.width = 8, model_.heads = 2, model_.layers = 1, model_.vl_from = 1;
    model_.text_length = 8, model_.vocabulary = 12;
    stage_.steps = 50, stage_.batch = 1, stage_.average = 0.9;
    config_.save_every = 10, config_.log_every = 1, config_.rollback_after = 5;
  }
  // To the end, a crash or an interruption; then again as if nothing had been.
  Outcome train(const std::string& name, Script& script) {
    config_.output = folder_ / name;
    RunParts run(config_);
    run.note = [this](const std::string& line) { notes_ += line + "\n"; };
    MomeModel model(model_, ModelParts::stage_image(), run.dtype, *run.device);
    apply_rules(model.parameters(), stage_);
    Training training{"image", stage_};
    training.metadata = {{"mome.recipe", "one"}};
    training.start = [](MomeModel& m) { m.parameters().initialize(1); };
    training.work = [&](int64_t first) { return std::make_unique<FakeWork>(run, script, first); };
    testing::internal::CaptureStderr();
    try {
      const Outcome outcome = mome::train(run, model, training);
      screen_ = testing::internal::GetCapturedStderr();
      return outcome;
    } catch (...) {
      screen_ = testing::internal::GetCapturedStderr();
      throw;
    }
  }
  std::string stopped(const std::string& name, Script& script) {
    try {
      train(name, script);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  std::vector<nlohmann::json> log_of(const std::string& name) const {
    std::vector<nlohmann::json> lines;
    std::ifstream in(folder_ / (name + "/log.jsonl"));
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
      lines.back().erase("samples_per_s");
    }
    return lines;
  }
  void expect_same(const std::string& a, const std::string& b, const std::string& what) {
    EXPECT_TRUE(read_file(folder_ / (a + "/image.safetensors")) == read_file(folder_ / (b + "/image.safetensors"))) << what;
    EXPECT_EQ(log_of(a), log_of(b)) << what;
  }

  TemporaryFolder folder_;
  ModelConfig model_;
  StageConfig stage_;
  RunConfig config_;
  std::string notes_, screen_;
};

// Batches 25 to 32 have no finite gradient: five steps are skipped, the run goes back to step 20 without the ten batches since,
// skips three more and goes on.
Script hole() { return {.bad_gradients = from_to(25, 33)}; }

TEST_F(Rollback, GoesBackAndOnWithOtherBatches) {
  Script script = hole();
  ASSERT_EQ(train("run", script), Outcome::kDone);
  std::vector<int64_t> drawn(60);
  for (int64_t i = 0; i < 60; ++i) drawn[size_t(i)] = i;  // steps 0 to 29, then 20 to 49
  EXPECT_EQ(script.drawn, drawn);
  EXPECT_NE(screen_.find("image: steps 25 to 29 had no finite gradient: back to step 20, and on without the 10 batches since (rollback 1 of 3)"),
            std::string::npos)
      << screen_;
  std::vector<int64_t> steps;
  int rollbacks = 0;
  for (const nlohmann::json& line : log_of("run")) {
    if (line.contains("rollback")) {
      ++rollbacks;
      EXPECT_EQ(line["step"], 20);
      EXPECT_EQ(line["rollback"], (nlohmann::json{{"bad_steps", {25, 29}}, {"batches_left_out", 10}, {"rollbacks", 1}}));
    } else {
      steps.push_back(line["step"]);
    }
  }
  EXPECT_EQ(rollbacks, 1);
  EXPECT_EQ(steps, std::vector<int64_t>(drawn.begin(), drawn.begin() + 50));  // each step once
}

TEST_F(Rollback, BeginsAnewWhereThereIsNoPointYet) {
  Script script{.bad_gradients = from_to(4, 10)};
  ASSERT_EQ(train("run", script), Outcome::kDone);
  EXPECT_NE(screen_.find("back to step 0, and on without the 9 batches since"), std::string::npos) << screen_;
  // It is the run that never saw those batches, but for when it learned what: the same model from other numbers of batches.
  EXPECT_EQ(script.drawn.size(), 59u);
  EXPECT_EQ(script.drawn.back(), 58);
  Script again{.bad_gradients = from_to(4, 10), .crash = 30};
  EXPECT_THROW(train("crashed", again), Crash);
  again.crash = -1;
  ASSERT_EQ(train("crashed", again), Outcome::kDone);
  expect_same("run", "crashed", "");
}

TEST_F(Rollback, ACrashOrAnInterruptionAnywhereChangesNothing) {
  Script whole = hole();
  ASSERT_EQ(train("whole", whole), Outcome::kDone);
  // Before the hole, in it, in its second visit, right behind the rollback and later.
  for (const int64_t batch : {3, 21, 24, 25, 28, 29, 30, 32, 33, 39, 45, 58}) {
    const std::string crashed = fmt::format("crashed{}", batch), interrupted = fmt::format("interrupted{}", batch);
    Script script = hole();
    script.crash = batch;
    EXPECT_THROW(train(crashed, script), Crash) << batch;
    script.crash = -1;
    ASSERT_EQ(train(crashed, script), Outcome::kDone);
    expect_same("whole", crashed, crashed);
    script = hole();
    script.interrupt = batch;
    EXPECT_EQ(train(interrupted, script), Outcome::kInterrupted) << batch;
    catch_interrupts();
    // Saved is what the model held: within the hole that is step 25 (or 20, behind the rollback).
    const int64_t good = batch < 25 ? batch + 1 : batch < 29 ? 25 : batch == 29 ? 20 : batch < 33 ? 20 : batch + 1 - 10;
    EXPECT_TRUE(fs::exists(folder_ / fmt::format("{}/image/step-{:08}.safetensors", interrupted, good))) << batch;
    script.interrupt = -1;
    ASSERT_EQ(train(interrupted, script), Outcome::kDone);
    expect_same("whole", interrupted, interrupted);
  }
}

TEST_F(Rollback, GivesUpAfterSoMany) {
  Script script{.bad_gradients = from_to(25, 1000)};
  const std::string error = stopped("run", script);
  EXPECT_NE(error.find("image: the gradients of 5 steps in a row, "), std::string::npos) << error;
  EXPECT_NE(error.find("3 rollbacks"), std::string::npos) << error;
  // From the point that not one good step came after it went to the one before: steps 20, 10 and 10 again.
  EXPECT_NE(screen_.find("back to step 20, and on without the 10 batches since (rollback 1 of 3)"), std::string::npos) << screen_;
  EXPECT_NE(screen_.find("back to step 10, and on without the 15 batches since (rollback 2 of 3)"), std::string::npos) << screen_;
  EXPECT_NE(screen_.find("back to step 10, and on without the 5 batches since (rollback 3 of 3)"), std::string::npos) << screen_;
  const std::string name = error.substr(error.find("image/step-"), std::string("image/step-00000010.safetensors").size());
  EXPECT_TRUE(fs::exists(folder_ / ("run/" + name))) << error;
  EXPECT_EQ(stopped("run", script), error);  // once more, the same
}

TEST_F(Rollback, NeverWhereTheRecipeSaysSo) {
  config_.rollback_after = 0;
  stage_.steps = 200;
  Script script{.bad_gradients = from_to(25, 1000)};
  const std::string error = stopped("run", script);
  EXPECT_NE(error.find("the gradients of 50 steps in a row, 25 to 74, were not finite (loss scale 1)"), std::string::npos) << error;
  EXPECT_TRUE(fs::exists(folder_ / "run/image/step-00000025.safetensors"));
  Script few{.bad_gradients = from_to(25, 74)};
  EXPECT_EQ(train("few", few), Outcome::kDone);
}

// The gradients are finite, the loss is not: the step is not taken.
TEST_F(Rollback, ALossThatIsNotFiniteSkipsTheStep) {
  stage_.steps = 3;
  Script script{.bad_losses = {1}};
  ASSERT_EQ(train("run", script), Outcome::kDone);
  EXPECT_NE(screen_.find("image: step 1: the loss is not finite; the step was skipped"), std::string::npos) << screen_;
  const auto log = log_of("run");
  EXPECT_TRUE(log[1]["loss"].is_null());
  // Its value is the first weight, which step 1 left alone.
  EXPECT_NE(log[0]["loss"], log[2]["loss"]);
  stage_.steps = 2;
  Script without;
  ASSERT_EQ(train("without", without), Outcome::kDone);
  EXPECT_EQ(log_of("without")[1]["loss"], log[2]["loss"]);
}

// The loss scale comes down from 2^16 before steps count; bf16 and f32 count at once.
TEST(Guard, TheLossScalesSearchDoesNotCount) {
  RunConfig config;
  Guard guard(config);
  OptimizerProgress progress;
  progress.loss_scale = 0x1p16f;
  guard.begin(0, progress, {});
  float scale = 0x1p16f;
  for (int64_t step = 0; step < 26; ++step) {
    scale = std::max(1.f, scale / 2);
    const Guard::Verdict verdict = guard.after(step, {.grad_norm = 0, .skipped = true, .loss_scale = scale, .skipped_in_a_row = step + 1}, {});
    EXPECT_EQ(verdict, step < 25 ? Guard::Verdict::kGoOn : Guard::Verdict::kRollBack) << step;
  }
  EXPECT_EQ(guard.good().step, 0);
  EXPECT_EQ(guard.good().progress.loss_scale, 0x1p16f);  // from there the search is gone through again
}

TEST(Guard, RollbacksCountAnewOnceTheRunIsFurther) {
  RunConfig config;
  config.rollback_after = 1, config.rollbacks = 1;
  Guard guard(config);
  const OptimizerReport good{.loss_scale = 1}, bad{.skipped = true, .loss_scale = 1, .skipped_in_a_row = 1};
  const OptimizerProgress progress{.loss_scale = 1};
  guard.begin(0, progress, {});
  EXPECT_EQ(guard.after(7, bad, progress), Guard::Verdict::kRollBack);
  const Detour detour = guard.around(4, 7);
  EXPECT_EQ(detour, (Detour{4, 1, 7}));
  guard.begin(4, progress, detour);
  for (int64_t step = 4; step < 7; ++step) guard.after(step, good, progress);
  EXPECT_EQ(guard.after(7, bad, progress), Guard::Verdict::kStop);  // no further than before
  guard.begin(4, progress, detour);
  for (int64_t step = 4; step < 9; ++step) guard.after(step, good, progress);
  EXPECT_EQ(guard.good().detour, (Detour{4, 0, 7}));
  EXPECT_EQ(guard.after(9, bad, progress), Guard::Verdict::kRollBack);
}

}  // namespace
}  // namespace mome
