// What the environment says about the ranks of a run, and what follows for devices and engines.
#include "runtime/comm/open.h"

#include <gtest/gtest.h>

#include "runtime/comm/slurm.h"
#include "tests/runtime/environment.h"

namespace mome {
namespace {

using testing::Environment;
using Variables = std::vector<std::pair<std::string, std::string>>;

const Variables kMpirun = {{"OMPI_COMM_WORLD_SIZE", "8"},
                           {"OMPI_COMM_WORLD_RANK", "6"},
                           {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                           {"OMPI_COMM_WORLD_LOCAL_RANK", "2"}};
const Variables kSrun = {{"SLURM_STEP_NUM_TASKS", "20"},
                         {"SLURM_PROCID", "17"},
                         {"SLURM_LOCALID", "1"},
                         {"SLURM_NODEID", "2"},
                         {"SLURM_STEP_TASKS_PER_NODE", "8(x2),4"},
                         {"SLURM_STEP_NODELIST", "gpu[007-009]"},
                         {"SLURM_JOB_ID", "123456"},
                         {"SLURM_STEP_ID", "2"}};
const Variables kPlain = {{"RANK", "5"},
                          {"WORLD_SIZE", "8"},
                          {"LOCAL_RANK", "1"},
                          {"LOCAL_WORLD_SIZE", "4"},
                          {"MASTER_ADDR", "node0"},
                          {"MASTER_PORT", "29500"}};

void expect_world(const World& w, int rank, int size, int local_rank, int local_size,
                  const std::string& how) {
  EXPECT_EQ(w.rank, rank);
  EXPECT_EQ(w.size, size);
  EXPECT_EQ(w.local_rank, local_rank);
  EXPECT_EQ(w.local_size, local_size);
  EXPECT_EQ(w.how, how);
}

Variables both(Variables a, const Variables& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

template <class F>
void expect_usage_error(F&& f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected: " << text;
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(World, OneProcess) {
  const Environment environment;
  expect_world(world_from_environment(), 0, 1, 0, 1, "alone");
  EXPECT_EQ(open_communicator(Device::host()), nullptr);
}

TEST(World, OfEachLauncher) {
  {
    const Environment environment(kMpirun);
    expect_world(world_from_environment(), 6, 8, 2, 4, "mpirun");
  }
  {
    const Environment environment(kSrun);
    expect_world(world_from_environment(), 17, 20, 1, 4, "srun");
  }
  {
    const Environment environment(kPlain);
    expect_world(world_from_environment(), 5, 8, 1, 4, "plain variables");
  }
  {
    const Environment environment(both(kSrun, kPlain));  // torchrun within a step
    expect_world(world_from_environment(), 5, 8, 1, 4, "plain variables");
  }
  {
    const Environment environment(both(both(kSrun, kPlain), kMpirun));
    expect_world(world_from_environment(), 6, 8, 2, 4, "mpirun");
  }
}

// A batch script is no step: it has a number and a count of tasks, too, but runs once.
TEST(World, ABatchScriptIsOneProcess) {
  const Environment environment({{"SLURM_PROCID", "0"},
                                 {"SLURM_NTASKS", "16"},
                                 {"SLURM_JOB_ID", "7"},
                                 {"SLURM_LOCALID", "0"}});
  expect_world(world_from_environment(), 0, 1, 0, 1, "alone");
}

TEST(World, WhatIsWrongIsNamed) {
  for (const auto& [variables, name, value, text] :
       {std::tuple(kMpirun, "OMPI_COMM_WORLD_RANK", "8",
                   "OMPI_COMM_WORLD_RANK=8 in the environment: expected a number of 0 to 7"),
        std::tuple(kMpirun, "OMPI_COMM_WORLD_SIZE", "many",
                   "OMPI_COMM_WORLD_SIZE=many in the environment"),
        std::tuple(kSrun, "SLURM_PROCID", "20",
                   "SLURM_PROCID=20 in the environment: expected a number of 0 to 19"),
        std::tuple(Variables{}, "WORLD_SIZE", "4",
                   "WORLD_SIZE=4 is in the environment, but RANK is not")}) {
    Environment environment(variables);
    environment.set(name, value);
    expect_usage_error(world_from_environment, text);
  }
  Environment environment(kMpirun);
  environment.unset("OMPI_COMM_WORLD_LOCAL_RANK");
  expect_usage_error(
      world_from_environment,
      "OMPI_COMM_WORLD_SIZE=8 is in the environment, but OMPI_COMM_WORLD_LOCAL_RANK is not");
}

TEST(LocalDevice, EachRankTakesItsGpu) {
  const World w{.rank = 6,
                .size = 8,
                .local_rank = 2,
                .local_size = 4,
                .start = Start::kMpirun,
                .how = "mpirun"};
  EXPECT_EQ(local_device("cuda", w, 4), "cuda:2");
  EXPECT_EQ(local_device("cuda", w, 8), "cuda:2");
  EXPECT_EQ(local_device("cuda", w, 1), "cuda:0") << "each rank is shown its own GPU alone";
  EXPECT_EQ(local_device("cuda", w, 0), "cuda:2")
      << "the device itself says why it cannot be opened";
  EXPECT_EQ(local_device("cpu", w, 4), "cpu");
  EXPECT_EQ(local_device("simt", w, 4), "simt");
  EXPECT_EQ(local_device("cuda:1", World{}, 4), "cuda:1");
  EXPECT_EQ(local_device("cuda", World{}, 4), "cuda");
  expect_usage_error([&] { local_device("cuda:1", w, 4); },
                     "--device cuda:1: 4 ranks on this host cannot share one GPU");
  expect_usage_error([&] { local_device("cuda", w, 3); }, "4 ranks on this host, but 3 GPUs");
}

TEST(OpenCommunicator, PlainVariablesAreForGpus) {
  const Environment environment(kPlain);
  expect_usage_error([] { open_communicator(Device::host()); },
                     "--device cpu: ranks that are started by plain variables (WORLD_SIZE=8) are "
                     "for GPUs; start those on CPUs with mpirun, srun or `mome launch`");
}

TEST(Slurm, ListsOfHosts) {
  EXPECT_EQ(first_host_of("gpu[007-010,12],login1"), "gpu007");
  EXPECT_EQ(first_host_of("gpu[7,9]"), "gpu7");
  EXPECT_EQ(first_host_of("rack2-node[3]-ib"), "rack2-node3-ib");
  EXPECT_EQ(first_host_of("rack2-node[3-4]-ib,b1"), "rack2-node3-ib");
  EXPECT_EQ(first_host_of("a,b[1-2]"), "a");
  EXPECT_EQ(first_host_of("one"), "one");
  EXPECT_EQ(first_host_of(""), "");
  EXPECT_EQ(first_host_of("broken[1-"), "");
}

TEST(Slurm, TasksOfNodes) {
  for (const auto& [list, node, tasks] :
       {std::tuple("8(x2),4", 0, 8), std::tuple("8(x2),4", 1, 8), std::tuple("8(x2),4", 2, 4),
        std::tuple("8(x2),4", 3, 0), std::tuple("2", 0, 2), std::tuple("1,3", 1, 3),
        std::tuple("", 0, 0)})
    EXPECT_EQ(tasks_of_node(list, node), tasks) << list << " of node " << node;
}

TEST(Slurm, WhereAStepMeets) {
  Environment environment(kSrun);
  const PlainStart start = meeting_of_step(*slurm_step());
  EXPECT_EQ(start.rank, 17);
  EXPECT_EQ(start.size, 20);
  EXPECT_EQ(start.address, "gpu007");
  EXPECT_EQ(start.port, 23000 + 456 * 8 + 2);
  environment.set("MASTER_ADDR", "10.0.0.1");
  environment.set("MASTER_PORT", "4000");
  EXPECT_EQ(meeting_of_step(*slurm_step()).address, "10.0.0.1");
  EXPECT_EQ(meeting_of_step(*slurm_step()).port, 4000);
}

}  // namespace
}  // namespace mome
