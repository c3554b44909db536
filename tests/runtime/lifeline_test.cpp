// Lifelines of forked ranks on this host: every way in which one can be lost, with short times.
#include "runtime/comm/lifeline.h"

#include <gtest/gtest.h>

#include <regex>

#include "runtime/comm/rendezvous.h"
#include "tests/runtime/forked_ranks.h"

namespace mome {
namespace {

using testing::ForkedRanks;
using testing::RankEnd;

constexpr int kRanks = 3;
// Long enough that a machine that is busy with other things does not lose anybody.
constexpr double kSilent = 1.2, kStall = 1.2, kSlack = 8;

LifelineOptions quick() {
  return {.heartbeat_seconds = 0.1,
          .silent_seconds = kSilent,
          .stall_seconds = kStall,
          .connect_seconds = 10,
          .abort = {}};
}

/// Ranks with a lifeline each; body(rank, lifeline).
class Lifelines : public ForkedRanks {
 public:
  explicit Lifelines(const std::function<void(int, Lifeline&)>& body,
                     const LifelineOptions& options = quick(), int ranks = kRanks)
      : ForkedRanks(ranks, [&, port = testing::free_port()](int rank) {
          PlainStart start;
          start.rank = rank;
          start.size = ranks;
          start.address = "127.0.0.1";
          start.port = port;
          Lifeline lifeline(
              rank, ranks, [&](const std::string& text) { return from_rank_0(start, text, 10); },
              options);
          body(rank, lifeline);
          return 0;
        }) {}
};

void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// What the others do: they wait in a collective call that never ends.
void wait_for_ever(Lifeline& lifeline) {
  const Lifeline::Waiting waiting(&lifeline);
  sleep(60);
}
void compute_for_ever() {
  const auto until = after(60);
  while (seconds_until(until) > 0) {
  }
}

void expect_line(Lifelines& ranks, int rank, const std::string& pattern) {
  const RankEnd end = ranks.finish(rank, kSilent + kStall + kSlack);
  EXPECT_EQ(end.code, 1) << "rank " << rank << ": " << end.err;
  EXPECT_TRUE(std::regex_match(end.err, std::regex("mome: " + pattern + "; this run ends\n")))
      << "rank " << rank << ": " << end.err;
}

TEST(Lifeline, OrderlyEndsSayNothing) {
  for (int first = 0; first < kRanks; first += 2) {
    Lifelines ranks([&](int rank, Lifeline& lifeline) {
      for (int step = 1; step < 10; ++step) {
        lifeline.tick(step);
        const Lifeline::Waiting waiting(&lifeline);
      }
      if (rank != first) sleep(0.3);
    });
    for (int r = 0; r < kRanks; ++r) {
      const RankEnd end = ranks.finish(r, kSlack);
      EXPECT_EQ(end.code, 0);
      EXPECT_EQ(end.err, "");
    }
  }
}

// Killed, or ended by an exception: the connection closes without a goodbye.
TEST(Lifeline, ARankDies) {
  for (int lost = 0; lost < kRanks; ++lost) {
    Lifelines ranks([&](int rank, Lifeline& lifeline) {
      lifeline.tick(41 + rank);
      if (rank != lost) return wait_for_ever(lifeline);
      sleep(0.4);  // a heartbeat says the step
      if (lost == 1) fail("rank 1 has no more disk");
      raise(SIGKILL);
    });
    const RankEnd end = ranks.finish(lost, kSlack);
    EXPECT_EQ(end.code, lost == 1 ? 1 : -SIGKILL) << end.err;
    for (int r = 0; r < kRanks; ++r)
      if (r != lost)
        expect_line(
            ranks, r,
            fmt::format(
                "rank {} on {}: died \\(its connection closed without a goodbye\\); last step {}",
                lost, host_name(), 41 + lost));
  }
}

TEST(Lifeline, ARankFallsSilent) {
  LifelineOptions options = quick();
  options.stall_seconds = 20;
  for (int lost = 0; lost < 2; ++lost) {
    Lifelines ranks(
        [&](int rank, Lifeline& lifeline) {
          lifeline.tick(7);
          if (rank != lost) return wait_for_ever(lifeline);
          sleep(0.4);
          raise(SIGSTOP);
        },
        options);
    for (int r = 0; r < kRanks; ++r)
      if (r != lost)
        expect_line(ranks, r,
                    fmt::format("rank {} on {}: not heard of for [0-9.]+ s \\(its network is lost, "
                                "or the process does not run\\); last step 7",
                                lost, host_name()));
  }
}

TEST(Lifeline, ARankStandsStill) {
  for (int lost = 0; lost < 2; ++lost) {
    Lifelines ranks([&](int rank, Lifeline& lifeline) {
      lifeline.tick(1234);
      if (rank == lost)
        compute_for_ever();
      else
        wait_for_ever(lifeline);
    });
    for (int r = 0; r < kRanks; ++r)  // the one that stands still, too
      expect_line(ranks, r,
                  fmt::format("rank {} on {}: stands still since ..:..:.. \\([0-9.]+ s\\) while "
                              "rank [0-2] waits for it; last step 1234",
                              lost, host_name()));
  }
}

TEST(Lifeline, AllWaitForEachOther) {
  Lifelines ranks([](int, Lifeline& lifeline) {
    lifeline.tick(3);
    wait_for_ever(lifeline);
  });
  for (int r = 0; r < kRanks; ++r)
    expect_line(
        ranks, r,
        fmt::format(
            "all 3 ranks wait for each other since .*, first rank [0-2] on {}: .*; last step 3",
            host_name()));
}

// Rank 1 is slow in every way that is allowed, for longer than the others may wait for one that
// stands still.
TEST(Lifeline, SlowIsNotLost) {
  Lifelines ranks([](int rank, Lifeline& lifeline) {
    if (rank != 1) {
      const Lifeline::Waiting waiting(&lifeline);
      sleep(2.5 * kStall);
      return;
    }
    for (int i = 0; i < 12; ++i) {
      lifeline.tick(i);
      sleep(kStall / 10);
    }
    const Lifeline::Unhurried unhurried(&lifeline);
    sleep(1.3 * kStall);
  });
  for (int r = 0; r < kRanks; ++r) {
    const RankEnd end = ranks.finish(r, 3 * kStall + kSlack);
    EXPECT_EQ(end.code, 0);
    EXPECT_EQ(end.err, "");
  }
}

TEST(Lifeline, ARankGivesUp) {
  for (int lost = 0; lost < 2; ++lost) {
    Lifelines ranks([&](int rank, Lifeline& lifeline) {
      lifeline.tick(5);
      if (rank != lost) return wait_for_ever(lifeline);
      sleep(0.4);
      lifeline.give_up("loss is NaN for 10 steps");
    });
    for (int r = 0; r < kRanks; ++r)
      expect_line(
          ranks, r,
          fmt::format("rank {} on {}: loss is NaN for 10 steps; last step 5", lost, host_name()));
  }
}

// The hook runs after the line, and one that hangs does not keep the process.
TEST(Lifeline, HookOfTheEngine) {
  LifelineOptions options = quick();
  options.abort = [] {
    [[maybe_unused]] const ssize_t written = write(2, "aborted\n", 8);
    sleep(60);
  };
  Lifelines ranks(
      [](int rank, Lifeline& lifeline) {
        if (rank == 1) raise(SIGKILL);
        wait_for_ever(lifeline);
      },
      options);
  for (int r : {0, 2}) {
    const RankEnd end = ranks.finish(r, kSlack);
    EXPECT_EQ(end.code, 1);
    EXPECT_TRUE(end.err.ends_with("; this run ends\naborted\n")) << end.err;
  }
}

TEST(Lifeline, ARankThatNeverCame) {
  LifelineOptions options = quick();
  options.connect_seconds = 0.5;
  // Two of three: the third's number is in no one's hello.
  ForkedRanks ranks(2, [&, port = testing::free_port()](int rank) {
    PlainStart start;
    start.rank = rank;
    start.size = 2;
    start.address = "127.0.0.1";
    start.port = port;
    const Lifeline lifeline(
        rank, 3, [&](const std::string& text) { return from_rank_0(start, text, 10); }, options);
    return 0;
  });
  const RankEnd end = ranks.finish(0, kSlack);
  EXPECT_EQ(end.code, 1);
  EXPECT_NE(end.err.find("ranks 2 did not connect within 0.5 s; MOME_LIFELINE_ADDR"),
            std::string::npos)
      << end.err;
}

TEST(Lifeline, AddressFromTheEnvironment) {
  setenv("MOME_LIFELINE_ADDR", "127.0.0.1", 1);
  Lifelines good([](int, Lifeline&) {});
  setenv("MOME_LIFELINE_ADDR", "127.0.0.1.example.invalid", 1);
  LifelineOptions options = quick();
  options.connect_seconds = 0.5;
  Lifelines bad([](int, Lifeline&) {}, options);
  unsetenv("MOME_LIFELINE_ADDR");
  for (int r = 0; r < kRanks; ++r) EXPECT_EQ(good.finish(r, kSlack).code, 0);
  const RankEnd end = bad.finish(1, kSlack);
  EXPECT_EQ(end.code, 1);
  EXPECT_NE(end.err.find("rank 1 on "), std::string::npos) << end.err;
  EXPECT_NE(end.err.find(" of 127.0.0.1.example.invalid within 0.5 s"), std::string::npos)
      << end.err;
}

TEST(Lifeline, OneRankIsNotWatched) {
  Lifeline lifeline(
      0, 1, [](const std::string&) -> std::string { throw std::logic_error("nobody to tell"); },
      quick());
  lifeline.tick(1);
  const Lifeline::Waiting waiting(&lifeline), none(nullptr);
}

}  // namespace
}  // namespace mome
