// `mome launch`: the ranks of one host, by mpirun or by plain variables.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/tools/program.h"

namespace mome {
namespace {

using Launch = ProgramTest;

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++n;
  return n;
}

bool has_mpirun() { return std::system("command -v mpirun > /dev/null") == 0; }

TEST_F(Launch, PlainRanksRunTheSubcommand) {
  const Result r =
      mome({"launch", "-n", "2", "--plain", "info", "--json", path("none.safetensors")});
  EXPECT_EQ(r.code, 1) << r.err;
  EXPECT_GE(count(r.err, "none.safetensors"), 1) << r.err;
  EXPECT_EQ(count(r.err, "mome launch: rank "), 1) << r.err;
  EXPECT_EQ(count(r.err, "exited with status 1"), 1) << r.err;
}

TEST_F(Launch, OptionsBehindTheSubcommandAreTheRanks) {
  const Result r = mome({"launch", "-n", "3", "--plain", "pretrain", "--help"});
  EXPECT_EQ(r.code, 0) << r.err;
  for (const char* prefix : {"[0] ", "[1] ", "[2] "})
    EXPECT_EQ(count(r.out, std::string(prefix) + "Train the stages of a recipe"), 1) << r.out;
}

TEST_F(Launch, Mpirun) {
  if (!has_mpirun()) GTEST_SKIP() << "there is no mpirun here (package openmpi-bin)";
  const Result r = mome({"launch", "-n", "2", "--mpi", "pretrain", "--help"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(count(r.out, "Train the stages of a recipe"), 2) << r.out;
  EXPECT_EQ(r.err.rfind("mome launch: mpirun -n 2 --oversubscribe --bind-to none ", 0), 0u)
      << r.err;
  EXPECT_EQ(count(r.err, "mome pretrain --help\n"), 1) << r.err;
}

TEST_F(Launch, WithoutMpirun) {
  const std::string before = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  const Result r = mome({"launch", "-n", "2", "--mpi", "pretrain", "--help"});
  setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(r.code, 2);
  EXPECT_EQ(count(r.err, "mpirun is not in PATH: install openmpi-bin"), 1) << r.err;
}

TEST_F(Launch, WrongUse) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"launch", "pretrain", "x.toml"},
                                             {"launch", "-n", "0", "pretrain"},
                                             {"launch", "-n", "2"},
                                             {"launch", "-n", "2", "launch", "-n", "2"},
                                             {"launch", "-n", "2", "--plain", "--mpi", "info"}}) {
    const Result r = mome(arguments);
    EXPECT_EQ(r.code, 2) << r.err;
    EXPECT_NE(r.err, "");
  }
}

}  // namespace
}  // namespace mome
