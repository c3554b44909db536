// Pretraining over several processes, as `mome launch` starts them: the same losses as one process has, resume points that any
// number of ranks goes on from, the same bits where nothing changed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "tests/tools/small_run.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

constexpr int kPairSteps = 60;  // long enough to be interrupted

class RanksCommand : public SmallRun {
 protected:
  void SetUp() override {
    SmallRun::SetUp();
    if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "there is no mpirun here (package openmpi-bin)";
  }
  std::vector<std::string> launch(int ranks, const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> c = {"launch", "-n", std::to_string(ranks)};
    more.insert(more.end(), {"--set", "compute_threads=1"});
    for (const std::string& word : long_command(output, more)) c.push_back(word);
    return c;
  }
  std::vector<std::string> long_command(const std::string& output, std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--set", fmt::format("stages.pairs.steps={}", kPairSteps)});
    return command(output, more);
  }
  struct Line {
    int64_t step;
    double loss, grad_norm;
  };
  std::vector<Line> losses(const std::string& output) const {
    std::vector<Line> out;
    std::ifstream in(path(output) + "/log.jsonl");
    for (std::string line; std::getline(in, line);) {
      const auto j = nlohmann::json::parse(line);
      if (j.contains("loss")) out.push_back({j.at("step"), j.at("loss"), j.at("grad_norm")});
    }
    return out;
  }
  // In float, with sums in another order: what rounding grows to in so many steps (proven tight in double by ranks_test).
  void expect_close(const std::string& a, const std::string& b) const {
    const auto x = losses(a), y = losses(b);
    ASSERT_EQ(x.size(), size_t(14 + kPairSteps));
    ASSERT_EQ(y.size(), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(x[i].step, y[i].step);
      EXPECT_NEAR(x[i].loss, y[i].loss, 1e-4 * x[i].loss) << b << ", step " << x[i].step;
      EXPECT_NEAR(x[i].grad_norm, y[i].grad_norm, 1e-3 * x[i].grad_norm) << b << ", step " << x[i].step;
    }
  }
  // Stops the run by a signal once the last stage has a resume point. SIGUSR1 is what mpirun passes on (at SIGTERM it ends the
  // ranks itself and fails).
  void stop(const std::vector<std::string>& c, const std::string& output, int signal) {
    const pid_t child = start(c);
    const auto ready = [&] {
      std::error_code ignored;
      for (const auto& e : fs::directory_iterator(path(output) + "/pairs", ignored))
        if (e.path().filename().string().find("step-00000002.safetensors") == 0) return true;
      return fs::exists(path(output) + "/pairs.safetensors");
    };
    while (!ready() && waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(child, signal);
    const Result r = finish(child);
    if (signal != SIGUSR1) return;
    EXPECT_EQ(r.code, 0) << r.err;
    EXPECT_FALSE(fs::exists(path(output) + "/pairs.safetensors")) << "the signal came too late";
  }
};

TEST_F(RanksCommand, LossesDoNotDependOnTheSplit) {
  ASSERT_EQ(mome(long_command("one")).code, 0);
  for (int ranks : {2, 4}) {
    const std::string name = fmt::format("ranks{}", ranks);
    const Result r = mome(launch(ranks, name, ranks == 4 ? std::vector<std::string>{"--set", "zero=true", "--set", "stages.pairs.accumulate=2"}
                                                         : std::vector<std::string>{}));
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_NE(r.err.find(fmt::format("{} ranks (mpirun)", ranks)), std::string::npos) << r.err;
    expect_close("one", name);
  }
}

TEST_F(RanksCommand, KilledAndPreemptedRunsGoOnWithTheSameBits) {
  for (const bool zero : {false, true}) {
    SCOPED_TRACE(zero ? "sharded" : "not sharded");
    const std::vector<std::string> more = {"--set", fmt::format("zero={}", zero)};
    const std::string whole = fmt::format("whole{}", zero), cut = fmt::format("cut{}", zero);
    ASSERT_EQ(mome(launch(2, whole, more)).code, 0);
    stop(launch(2, cut, more), cut, SIGUSR1);
    stop(launch(2, cut, more), cut, SIGKILL);  // of mpirun, whose ranks end with it
    const Result r = mome(launch(2, cut, more));
    ASSERT_EQ(r.code, 0) << r.err;
    expect_same_run(whole, cut);
  }
}

TEST_F(RanksCommand, AnotherNumberOfRanksGoesOn) {
  ASSERT_EQ(mome(long_command("one")).code, 0);
  stop(launch(4, "moved", {"--set", "zero=true"}), "moved", SIGUSR1);
  // Fewer ranks have more to hold: they may spare memory that the first ones did not.
  const Result two = mome(launch(2, "moved", {"--set", "zero=true", "--set", "stages.pairs.accumulate=2", "--set", "stages.pairs.recompute=blocks"}));
  ASSERT_EQ(two.code, 0) << two.err;
  expect_close("one", "moved");
  stop(launch(2, "back", {"--set", "zero=true"}), "back", SIGUSR1);
  const Result alone = mome(long_command("back"));
  ASSERT_EQ(alone.code, 0) << alone.err;
  expect_close("one", "back");
}

// The CUDA kernels, 16-bit products, a dynamic loss scale and a sharded optimiser.
TEST_F(RanksCommand, SimtInFp16SplitsAlike) {
  std::vector<std::string> more;
  for (const char* set : {"device=simt", "dtype=fp16", "stages.image.steps=2", "stages.text.steps=2"}) more.insert(more.end(), {"--set", set});
  std::vector<std::string> alone = command("simt1", more), two = {"launch", "-n", "2"};
  more.insert(more.end(), {"--set", "zero=true"});
  for (const std::string& word : command("simt2", more)) two.push_back(word);
  for (std::vector<std::string>* c : {&alone, &two}) c->insert(c->end(), {"--set", "stages.pairs.steps=2"});
  ASSERT_EQ(mome(alone).code, 0);
  const Result r = mome(two);
  ASSERT_EQ(r.code, 0) << r.err;
  const auto x = losses("simt1"), y = losses("simt2");
  ASSERT_EQ(x.size(), 6u);
  ASSERT_EQ(y.size(), 6u);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i].loss, y[i].loss, 1e-3 * x[i].loss) << "step " << i;  // fp16: 11 bits
}

TEST_F(RanksCommand, ABatchThatCannotBeSplitIsSaid) {
  const Result r = mome(launch(2, "odd", {"--set", "stages.image.batch=7"}));
  EXPECT_NE(r.code, 0);
  EXPECT_NE(r.err.find("a batch of 7 cannot be split evenly over 2 ranks"), std::string::npos) << r.err;
}

}  // namespace
}  // namespace mome
