// What rank 0 concludes from heartbeats; the time is made up.
#include "runtime/comm/verdict.h"

#include <gtest/gtest.h>

#include "runtime/core/error.h"

namespace mome {
namespace {

class JuryTest : public ::testing::Test {
 protected:
  Jury::Time at(double seconds) const {
    return start_ + std::chrono::milliseconds(int64_t(seconds * 1000));
  }
  /// All heartbeats of a second: what each rank does, and whether it got further since the last
  /// one.
  void beat(double second, const std::vector<Doing>& doing, const std::vector<bool>& moves,
            int silent = -1) {
    for (int r = 0; r < 3; ++r) {
      progress_[r] += moves[size_t(r)];
      if (r != silent)
        jury_.heard(r, {int64_t(100 + r), progress_[r], doing[size_t(r)]}, at(second));
    }
  }
  void expect_line(double second, const std::string& part) {
    const auto line = jury_.judge(at(second));
    ASSERT_TRUE(line) << "nothing was concluded";
    EXPECT_NE(line->find(part), std::string::npos) << *line;
    EXPECT_EQ(line->substr(line->size() - 15), "; this run ends") << *line;
  }
  void expect_nothing(double second) {
    const auto line = jury_.judge(at(second));
    EXPECT_FALSE(line) << *line << ", at " << second << " s";
  }

  static constexpr Doing kC = Doing::kComputing, kW = Doing::kWaiting, kU = Doing::kUnhurried;
  const Jury::Time start_ = Jury::Time() + std::chrono::hours(5);
  Jury jury_{{"n0", "n1", "n2"}, 20, 45, start_};
  uint64_t progress_[3] = {};
};

TEST_F(JuryTest, WhoMovesIsLeftAlone) {
  for (int s = 0; s < 300; s += 2) {
    beat(s, {kC, kC, kC}, {true, true, true});
    expect_nothing(s + 1.9);
  }
}

TEST_F(JuryTest, SilenceIsToldAfterItsTime) {
  for (int s = 0; s < 60; s += 2) {
    beat(s, {kC, kC, kC}, {true, true, true}, s > 10 ? 1 : -1);
    if (s <= 28) expect_nothing(s + 1.9);
  }
  expect_line(59, "rank 1 on n1: not heard of for 49 s");
  expect_line(59, "last step 101; this");
}

TEST_F(JuryTest, StandingStillIsToldWhenSomebodyHasWaitedAsLong) {
  // Rank 2 stands still from the start; the others wait for it from second 30 on.
  for (int s = 0; s < 74; s += 2) {
    const bool waiting = s >= 30;
    beat(s, {waiting ? kW : kC, waiting ? kW : kC, kC}, {s <= 30, s <= 30, s == 0});
    expect_nothing(s + 0.9);
  }
  beat(76, {kW, kW, kC}, {false, false, false});
  expect_line(76, "rank 2 on n2: stands still since ");
  expect_line(76, "(76 s) while rank 0 waits for it; last step 102; this run ends");
}

TEST_F(JuryTest, LongStepsWithShortWaitsAreNoStandstill) {
  for (int s = 0; s < 400;
       s += 2) {  // a step takes 100 s; the last 10 of it the others wait for rank 2
    const bool waiting = s % 100 >= 90;
    beat(s, {waiting ? kW : kC, waiting ? kW : kC, kC},
         {s % 100 == 90 || s % 100 == 0, s % 100 == 90 || s % 100 == 0, s % 100 == 0});
    expect_nothing(s + 1.9);
  }
}

TEST_F(JuryTest, TheUnhurriedAreNotJudged) {
  for (int s = 0; s < 300; s += 2) {
    beat(s, {kU, kW, kW}, {s == 0, s == 0, s == 0});
    expect_nothing(s + 1.9);
  }
}

TEST_F(JuryTest, AllWaitForEachOther) {
  for (int s = 0; s <= 44; s += 2) {
    beat(s, {kW, kW, kW}, {s == 0, s == 0, s <= 10});
    expect_nothing(s + 0.9);
  }
  for (int s = 46; s <= 56; s += 2) beat(s, {kW, kW, kW}, {false, false, false});
  expect_line(56, "all 3 ranks wait for each other since ");
  expect_line(56, "first rank 0 on n0");
}

TEST_F(JuryTest, WhoSaidGoodbyeIsNotJudged) {
  jury_.left(1, at(0));
  EXPECT_TRUE(jury_.has_left(1));
  for (int s = 0; s < 100; s += 2) {
    beat(s, {kC, kC, kC}, {true, false, true}, 1);
    expect_nothing(s + 1.9);
  }
}

// Rank 1 was at work for long, as it may, and left: the others have waited for it until then.
TEST_F(JuryTest, ThoseWhoStayGetTheirTime) {
  for (int s = 0; s < 100; s += 2) beat(s, {kW, kU, kW}, {s == 0, s == 0, s == 0});
  jury_.left(1, at(100));
  for (int s = 100; s < 144; s += 2) {
    beat(s, {kW, kU, kW}, {false, false, false}, 1);
    expect_nothing(s + 0.9);
  }
  beat(146, {kW, kU, kW}, {false, false, false}, 1);
  expect_line(146, "all 2 ranks wait for each other");
}

TEST_F(JuryTest, WhatThisProcessMissedIsForgiven) {
  beat(0, {kC, kC, kC}, {true, true, true});
  expect_line(100, "not heard of");
  jury_.forgive(at(100));
  expect_nothing(119);
  expect_line(121, "not heard of");
}

}  // namespace
}  // namespace mome
