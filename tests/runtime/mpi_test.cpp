// The communicator over MPI. Tests named Rank… need mpirun and skip themselves without it; the
// others start them: this executable again, under mpirun.
#include <gtest/gtest.h>

#if defined(MOME_WITH_MPI)
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "runtime/comm/lifeline.h"
#include "runtime/comm/mpi.h"
#include "runtime/comm/mpirun.h"
#include "runtime/comm/socket.h"
#include "runtime/log/interrupt.h"
#include "tests/runtime/comm_contract.h"

namespace mome {
namespace {

struct Ended {
  int code;
  std::string text;
};

/// Runs the tests that match on `ranks` ranks.
Ended on_ranks(int ranks, const std::string& filter) {
  std::string command =
      "MOME_MPI_RANK=1 OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0";  // OpenMPI leaves memory at
                                                                        // its end
  for (const std::string& word : mpirun_command(ranks)) command += " " + word;
  command += " " + std::filesystem::read_symlink("/proc/self/exe").string() +
             " --gtest_color=no --gtest_filter=" + filter + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  Ended ended{-1, command + "\n"};
  std::array<char, 4096> part;
  while (const size_t got = fread(part.data(), 1, part.size(), pipe))
    ended.text.append(part.data(), got);
  const int status = pclose(pipe);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

void expect_says(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

/// All ranks ran one test and none failed.
void expect_passed(const Ended& ended, int ranks) {
  EXPECT_EQ(ended.code, 0) << ended.text;
  int passed = 0;
  for (size_t at = 0; (at = ended.text.find("[  PASSED  ] 1 test", at)) != std::string::npos; ++at)
    ++passed;
  EXPECT_EQ(passed, ranks) << ended.text;
}

class Ranks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::getenv("MOME_MPI_RANK")) GTEST_SKIP() << "for ranks under mpirun";
  }
};

TEST_F(Ranks, Cpu) {
  MpiCommunicator comm(Device::host());
  testing::check_contract(comm);
}

TEST_F(Ranks, CpuInPieces) {
  MpiCommunicator comm(Device::host(), 1000);
  testing::check_contract(comm);
}

TEST_F(Ranks, SimtLazy) {
  const auto device = Device::simt({.seed = 5, .lazy = true});
  MpiCommunicator comm(*device);
  testing::check_contract(comm);
}

TEST_F(Ranks, SizeOfStart) {
  MpiCommunicator comm(Device::host());
  fmt::print("rank {} of {}\n", comm.rank(), comm.size());
}

TEST_F(Ranks, LibraryBroadcast) {
  const auto library = MpiLibrary::open();
  int64_t value = library->rank() == 0 ? 4711 : 0;
  library->broadcast(&value, sizeof value);
  EXPECT_EQ(value, 4711);
}

TEST_F(Ranks, TooShortReceive) {
  MpiCommunicator comm(Device::host());
  std::array<char, 8> out{}, in{};
  const int other = 1 - comm.rank();
  const std::array<Communicator::Message, 1> send{{{other, out.data(), 8}}},
      receive{{{other, in.data(), 5}}};
  try {
    comm.exchange(send, receive);
    ADD_FAILURE() << "8 bytes went into 5";
  } catch (const Error& error) {
    expect_says(error.what(), "MPI_Waitall: MPI_ERR_TRUNCATE");
    expect_says(error.what(), fmt::format("(rank {} of {})", comm.rank(), comm.size()));
  }
  const std::array<Communicator::Message, 1> longer{{{other, in.data(), 8}}},
      shorter{{{other, out.data(), 3}}};
  try {
    comm.exchange(shorter, longer);
    ADD_FAILURE() << "3 bytes were taken for 8";
  } catch (const Error& error) {
    expect_says(error.what(), "3 bytes came");
  }
}

// A rank that ends by an exception ends the others, which wait for it.
TEST_F(Ranks, Fails) {
  try {
    MpiCommunicator comm(Device::host());
    if (comm.rank() == 1) fail("rank 1 gives up");
    comm.barrier();
    ADD_FAILURE() << "nobody waited";
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::_Exit(1);
  }
}

// A rank is killed while the others wait for it in MPI: they say so before mpirun, which sends
// SIGTERM at once, ends them.
TEST_F(Ranks, Killed) {
  catch_interrupts();  // as a training does
  MpiCommunicator comm(Device::host());
  Lifeline lifeline(comm);
  lifeline.tick(17);
  if (comm.rank() == 1) {
    std::this_thread::sleep_for(std::chrono::seconds(3));  // a heartbeat says the step
    raise(SIGKILL);
  }
  const Lifeline::Waiting waiting(&lifeline);
  comm.barrier();
}

TEST(Mpi, OneRank) { expect_passed(on_ranks(1, "Ranks.Cpu"), 1); }
TEST(Mpi, TwoRanks) { expect_passed(on_ranks(2, "Ranks.Cpu"), 2); }
TEST(Mpi, FourRanks) { expect_passed(on_ranks(4, "Ranks.Cpu"), 4); }
TEST(Mpi, ThreeRanksInPieces) { expect_passed(on_ranks(3, "Ranks.CpuInPieces"), 3); }
TEST(Mpi, OneRankOnSimt) { expect_passed(on_ranks(1, "Ranks.SimtLazy"), 1); }
TEST(Mpi, FourRanksOnSimt) { expect_passed(on_ranks(4, "Ranks.SimtLazy"), 4); }
TEST(Mpi, Library) { expect_passed(on_ranks(2, "Ranks.LibraryBroadcast"), 2); }
TEST(Mpi, MessagesThatDoNotMatch) { expect_passed(on_ranks(2, "Ranks.TooShortReceive"), 2); }

TEST(Mpi, RanksAreThoseOfMpirun) {
  const Ended ended = on_ranks(3, "Ranks.SizeOfStart");
  expect_passed(ended, 3);
  for (int rank = 0; rank < 3; ++rank) expect_says(ended.text, fmt::format("rank {} of 3\n", rank));
}

TEST(Mpi, AKilledRankIsNamedByTheOthers) {
  const Ended ended = on_ranks(3, "Ranks.Killed");
  EXPECT_NE(ended.code, 0);
  const std::string line = fmt::format(
      "mome: rank 1 on {}: died (its connection closed without a goodbye); last step 17; this run "
      "ends\n",
      host_name());
  int said = 0;
  for (size_t at = 0; (at = ended.text.find(line, at)) != std::string::npos; ++at) ++said;
  EXPECT_EQ(said, 2) << ended.text;
}

TEST(Mpi, FailureOfOneEndsAll) {
  const Ended ended = on_ranks(2, "Ranks.Fails");
  EXPECT_NE(ended.code, 0);
  expect_says(ended.text, "rank 1 gives up");
}

}  // namespace
}  // namespace mome
#else
TEST(Mpi, Absent) { GTEST_SKIP() << "this build has no MPI (package libopenmpi-dev)"; }
#endif
