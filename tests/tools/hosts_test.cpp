// A run over two hosts, played by network namespaces, whose cable is cut in mid-step: its ranks end on both within a minute, the
// message names the lost one, and the run goes on from its last resume point. (mpirun itself may stay: OpenMPI 4.1 waits for a
// daemon that it cannot reach. The test ends it, as a batch system would.)
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/runtime/network_namespaces.h"
#include "tests/tools/small_run.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class Hosts : public SmallRun {
 protected:
  size_t log_lines() const {
    std::ifstream in(path("run/log.jsonl"));
    return size_t(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
  }
  // Whether a rank still runs on one of the hosts.
  bool ranks_left() const {
    return std::system(fmt::format("pgrep -f '^{} pretrain {}' > /dev/null", MOME_PROGRAM, path("recipe.toml")).c_str()) == 0;
  }
};

TEST_F(Hosts, ACutCableEndsTheRunWhichGoesOnLater) {
  const testing::NetworkNamespaces hosts;
  if (!hosts.good()) GTEST_SKIP() << "network namespaces need root and iproute2";
  if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "there is no mpirun here (package openmpi-bin)";
  setenv("PATH", (std::string(std::getenv("PATH")) + ":/usr/sbin").c_str(), 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  // How mpirun reaches the second host: where ssh would be.
  std::ofstream(path("agent")) << "#!/bin/sh\necho $$ > " << path("agent.pid") << "\nshift\nexec ip netns exec " << hosts.name(1)
                              << " sh -c \"exec $*\"\n";
  fs::permissions(path("agent"), fs::perms::owner_all);
  // MPI of two real hosts: no shared memory.
  std::string command = fmt::format(
      "exec ip netns exec {} mpirun --allow-run-as-root -n 2 -H {},{} --mca plm_rsh_agent {} --mca btl tcp,self "
      "--mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 {}",
      hosts.name(0), testing::NetworkNamespaces::kAddress[0], testing::NetworkNamespaces::kAddress[1], path("agent"), MOME_PROGRAM);
  const std::vector<std::string> run = this->command("run", {"--set", "stages.pairs.steps=1000000", "--set", "save_every=100"});
  for (const std::string& word : run) command += " " + word;
  const pid_t child = fork();
  if (child == 0) {
    dup2(open(path("stdout").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
    dup2(open(path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  // Long enough that rank 1 has told its step once more, and that there is a resume point.
  const auto begin = Clock::now();
  while (log_lines() < 300 && waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_GE(log_lines(), 300u) << read_file(path("stderr"));
  std::this_thread::sleep_until(begin + std::chrono::seconds(5));
  EXPECT_TRUE(ranks_left());
  hosts.cut();
  const auto cut = Clock::now();
  while (ranks_left() && Clock::now() - cut < std::chrono::seconds(60)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(ranks_left()) << "a rank goes on";
  kill(child, SIGKILL);
  if (const int daemon = std::atoi(read_file(path("agent.pid")).c_str()); daemon > 1) kill(daemon, SIGKILL);
  const Result r = finish(child);
  EXPECT_NE(r.err.find("mome: rank 1 on "), std::string::npos) << r.err;
  EXPECT_NE(r.err.find(": not heard of for 20 s (its network is lost, or the process does not run); last step "), std::string::npos) << r.err;

  // Later, on one host: from the last resume point on.
  const size_t lines = log_lines();
  const pid_t later = start(run);
  while (log_lines() <= lines && waitpid(later, nullptr, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  kill(later, SIGUSR1);
  const Result on = finish(later);
  EXPECT_EQ(on.code, 0) << on.err;
  EXPECT_NE(on.err.find("pairs: going on at step "), std::string::npos) << on.err;
}

}  // namespace
}  // namespace mome
