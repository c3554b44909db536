// Ranks that Slurm starts, and the sample batch script, on a cluster of this one machine. Tests
// named SlurmRanks… are the ranks: this executable again, under srun.
#include "runtime/comm/slurm.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "runtime/comm/open.h"
#include "tests/runtime/comm_contract.h"
#include "tests/tools/slurm_cluster.h"

namespace mome {
namespace {

using testing::SlurmCluster;

class SlurmRanks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!slurm_step()) GTEST_SKIP() << "for ranks under srun";
  }
};

TEST_F(SlurmRanks, World) {
  const World w = world_from_environment();
  const std::string text =
      from_rank_0(meeting_of_step(*slurm_step()), w.rank == 0 ? "an identifier" : "", 20);
  fmt::print("rank {} of {}, {} of {} here, by {}, got {}\n", w.rank, w.size, w.local_rank,
             w.local_size, w.how, text);
}

TEST_F(SlurmRanks, Contract) {
  const auto communicator = open_communicator(Device::host());
  ASSERT_TRUE(communicator);
  testing::check_contract(*communicator);
}

TEST_F(SlurmRanks, Refused) {
  try {
    open_communicator(Device::host());
    ADD_FAILURE() << "MPI had two ranks";
  } catch (const UsageError& error) {
    fmt::print("{}\n", error.what());
  }
}

class Slurm : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!SlurmCluster::missing().empty()) return;
    cluster_ = std::make_unique<SlurmCluster>();
    trouble_ = cluster_->wait_until_idle(30);
  }
  static void TearDownTestSuite() { cluster_.reset(); }
  void SetUp() override {
    if (!cluster_) GTEST_SKIP() << SlurmCluster::missing();
    ASSERT_EQ(trouble_, "") << "the cluster did not come up";
  }

  static SlurmCluster::Ended srun(const std::string& options, const std::string& filter) {
    return SlurmCluster::run("OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 srun " + options + " " +
                             std::filesystem::read_symlink("/proc/self/exe").string() +
                             " --gtest_color=no --gtest_filter=" + filter);
  }
  static int count(const std::string& text, const std::string& part) {
    int n = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++n;
    return n;
  }

  /// Submits the sample script for two ranks of a stand-in for mome; returns the job's number.
  static std::string submit(const std::string& program) {
    const std::string stand_in = cluster_->path("stand-in");
    std::ofstream(stand_in) << "#!/bin/sh\n" << program;
    std::filesystem::permissions(stand_in, std::filesystem::perms::owner_all);
    const auto ended = SlurmCluster::run(
        fmt::format("MOME={} sbatch --parsable --gres=none --ntasks-per-node=2 --cpus-per-task=1 "
                    "--output={} {}/tools/slurm/pretrain.sbatch recipe.toml --stage 'two words'",
                    stand_in, cluster_->path("job.log"), MOME_SOURCE_DIR));
    EXPECT_EQ(ended.code, 0) << ended.out;
    return ended.out.substr(0, ended.out.find('\n'));
  }
  static std::string log() {
    return std::filesystem::exists(cluster_->path("job.log")) ? read_file(cluster_->path("job.log"))
                                                              : "";
  }
  static std::string state(const std::string& job) {
    return SlurmCluster::run("scontrol show job " + job).out;
  }
  template <class F>
  static bool wait_for(F&& done, double seconds = 20) {
    for (const auto until = after(seconds); seconds_until(until) > 0; SlurmCluster::pause())
      if (done()) return true;
    return false;
  }

  static inline std::unique_ptr<SlurmCluster> cluster_;
  static inline std::string trouble_;
};

TEST_F(Slurm, RanksOfAStepKnowEachOther) {
  const auto ended = srun("-n 3", "SlurmRanks.World");
  EXPECT_EQ(ended.code, 0) << ended.out;
  for (int r = 0; r < 3; ++r)
    EXPECT_EQ(count(ended.out,
                    fmt::format("rank {0} of 3, {0} of 3 here, by srun, got an identifier\n", r)),
              1)
        << ended.out;
}

#if defined(MOME_WITH_MPI)
TEST_F(Slurm, MpiJoinsTheRanks) {
  const auto ended = srun("-n 2 --mpi=pmix", "SlurmRanks.Contract");
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_EQ(count(ended.out, "[  PASSED  ] 1 test"), 2) << ended.out;
}

TEST_F(Slurm, WithoutPmixItIsSaid) {
  const auto ended = srun("-n 2 --mpi=none", "SlurmRanks.Refused");
  EXPECT_EQ(
      count(
          ended.out,
          "srun started 2 ranks without PMIx, which MPI needs to join them: give srun --mpi=pmix"),
      2)
      << ended.out;
}
#endif

TEST_F(Slurm, SampleScriptRunsTheRanks) {
  const std::string job =
      submit("echo \"rank $SLURM_PROCID of $SLURM_STEP_NUM_TASKS: $# $1 $2 $3 $4\"\n");
  EXPECT_TRUE(wait_for([&] { return count(state(job), "JobState=COMPLETED") == 1; }))
      << state(job) << log();
  for (int r = 0; r < 2; ++r)
    EXPECT_EQ(
        count(log(), fmt::format("rank {} of 2: 4 pretrain recipe.toml --stage two words\n", r)), 1)
        << log();
}

TEST_F(Slurm, AFailedRankEndsTheJob) {
  const std::string job = submit("[ $SLURM_PROCID = 0 ] || exit 1\nexec sleep 600\n");
  EXPECT_TRUE(wait_for([&] { return count(state(job), "JobState=FAILED") == 1; }))
      << state(job) << log();
}

// Before the time limit the batch script hears SIGUSR1: both ranks do, and the job is queued again.
TEST_F(Slurm, PreemptionSavesAndQueuesAgain) {
  const std::string job = submit(
      "trap 'echo rank $SLURM_PROCID saved; exit 0' USR1\necho ready\nwhile :; do sleep 0.1; "
      "done\n");
  ASSERT_TRUE(wait_for([&] { return count(log(), "ready\n") == 2; })) << state(job) << log();
  SlurmCluster::run("scancel --batch --signal=USR1 " + job);
  EXPECT_TRUE(wait_for([&] { return count(state(job), "JobState=PENDING") == 1; }))
      << state(job) << log();
  EXPECT_EQ(count(state(job), "Restarts=1"), 1) << state(job);
  for (int r = 0; r < 2; ++r)
    EXPECT_EQ(count(log(), fmt::format("rank {} saved\n", r)), 1) << log();
  EXPECT_EQ(count(log(), "is queued again\n"), 1) << log();
  SlurmCluster::run("scancel " + job);
}

}  // namespace
}  // namespace mome
