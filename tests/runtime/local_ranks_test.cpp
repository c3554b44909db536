// Ranks as processes of this host: shell commands stand for them.
#include "runtime/comm/local_ranks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <sstream>

#include "tests/runtime/environment.h"
#include "tests/runtime/forked_ranks.h"

namespace mome {
namespace {

using testing::ForkedRanks;
using testing::RankEnd;

/// run_local_ranks in a process of its own, its standard output in the same file as its standard
/// error.
class Launched : public ForkedRanks {
 public:
  Launched(int ranks, const std::string& script)
      : ForkedRanks(1, [=](int) {
          dup2(2, 1);
          return run_local_ranks(ranks, {"sh", "-c", script}, {.last_words = 0.8, .saving = 0.6});
        }) {}
  RankEnd finish(double seconds = 15) { return ForkedRanks::finish(0, seconds); }
};

std::multiset<std::string> lines(const std::string& text) {
  std::istringstream in(text);
  std::multiset<std::string> all;
  for (std::string line; std::getline(in, line);) all.insert(line);
  return all;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

TEST(LocalRanks, VariablesAndWholeLines) {
  Launched launched(3,
                    "echo rank $RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE, at "
                    "$MASTER_ADDR; printf 'half '; sleep 0.1; printf 'a line' >&2; printf 'the "
                    "other half\\nno end'; test $MASTER_PORT -gt 0");
  const RankEnd end = launched.finish();
  EXPECT_EQ(end.code, 0) << end.err;
  std::multiset<std::string> expected;
  for (int r = 0; r < 3; ++r) {
    expected.insert(fmt::format("[{0}] rank {0} of 3, {0} of 3, at 127.0.0.1", r));
    expected.insert(fmt::format("[{}] half the other half", r));
    expected.insert(fmt::format("[{}] a line", r));
    expected.insert(fmt::format("[{}] no end", r));
  }
  EXPECT_EQ(lines(end.err), expected);
}

TEST(LocalRanks, NothingOfALongOutputIsLost) {
  Launched launched(2, "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done");
  const RankEnd end = launched.finish();
  EXPECT_EQ(end.code, 0);
  const auto got = lines(end.err);
  EXPECT_EQ(got.size(), 40000u);
  for (const char* line : {"[0] 0", "[1] 0", "[0] 19999", "[1] 19999"})
    EXPECT_EQ(got.count(line), 1u) << line;
}

TEST(LocalRanks, TheFirstFailureEndsAll) {
  const auto begin = Clock::now();
  Launched launched(3, "if [ $RANK = 1 ]; then exit 7; fi; exec sleep 60");
  const RankEnd end = launched.finish();
  EXPECT_EQ(end.code, 7);
  EXPECT_EQ(end.err, "mome launch: rank 1 exited with status 7; the others are ended\n");
  EXPECT_LT(seconds_since(begin), 10);
}

TEST(LocalRanks, ASignalIsNamed) {
  Launched launched(2, "if [ $RANK = 1 ]; then kill -9 $$; fi; sleep 0.5; echo last words");
  const RankEnd end = launched.finish();
  EXPECT_EQ(end.code, 128 + 9);
  EXPECT_EQ(
      end.err,
      "mome launch: rank 1 was ended by signal 9 (Killed); the others are ended\n[0] last words\n");
}

TEST(LocalRanks, WhoDoesNotListenIsKilled) {
  const auto begin = Clock::now();
  Launched launched(3,
                    "if [ $RANK = 1 ]; then exit 3; fi; if [ $RANK = 2 ]; then kill -STOP $$; fi; "
                    "trap '' TERM; while :; do sleep 1; done");
  EXPECT_EQ(launched.finish().code, 3);
  EXPECT_LT(seconds_since(begin), 10);
}

// Ctrl-C and pre-emption: every rank hears it, saves in its own time, and is waited for.
TEST(LocalRanks, SignalsArePassedOn) {
  for (const auto& [signal, name] :
       {std::pair(SIGTERM, "TERM"), std::pair(SIGINT, "INT"), std::pair(SIGUSR1, "USR1")}) {
    Launched launched(
        2, fmt::format(
               "trap 'sleep 0.3; echo saved; exit 0' {}; echo ready; while :; do sleep 0.05; done",
               name));
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    kill(launched.pid(0), signal);
    const RankEnd end = launched.finish();
    EXPECT_EQ(end.code, 0);
    EXPECT_EQ(lines(end.err),
              (std::multiset<std::string>{"[0] ready", "[1] ready", "[0] saved", "[1] saved"}))
        << name;
  }
}

TEST(LocalRanks, AProgramThatIsNotThere) {
  ForkedRanks launched(1, [](int) { return run_local_ranks(2, {"no-such-program-of-mome"}); });
  const RankEnd end = launched.finish(0, 15);
  EXPECT_EQ(end.code, 127);
  EXPECT_NE(end.err.find("no-such-program-of-mome: No such file or directory\n"), std::string::npos)
      << end.err;
}

}  // namespace
}  // namespace mome
