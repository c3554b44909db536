// Lifelines between two hosts, played by network namespaces, whose cable is cut while rank 1 waits
// for rank 0. Both find out, each about the other, though no connection is closed.
#include <gtest/gtest.h>

#include "runtime/comm/lifeline.h"
#include "runtime/comm/rendezvous.h"
#include "tests/runtime/forked_ranks.h"
#include "tests/runtime/network_namespaces.h"

namespace mome {
namespace {

TEST(LifelineNetwork, ACutCableEndsBothSides) {
  const testing::NetworkNamespaces hosts;
  if (!hosts.good()) GTEST_SKIP() << "network namespaces need root and iproute2";
  const LifelineOptions options{.heartbeat_seconds = 0.1,
                                .silent_seconds = 1.2,
                                .stall_seconds = 30,
                                .connect_seconds = 10,
                                .abort = {}};
  testing::ForkedRanks ranks(2, [&](int rank) {
    if (!hosts.enter(rank)) fail("rank {} cannot enter its host", rank);
    PlainStart start;
    start.rank = rank;
    start.size = 2;
    start.address = testing::NetworkNamespaces::kAddress[0];
    start.port = 29500;  // of a host of its own
    Lifeline lifeline(
        rank, 2, [&](const std::string& text) { return from_rank_0(start, text, 10); }, options);
    fmt::print(stderr, "together\n");
    lifeline.tick(90 + rank);
    const Lifeline::Waiting waiting(&lifeline);
    std::this_thread::sleep_for(std::chrono::seconds(30));
    return 0;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  hosts.cut();
  for (int r = 0; r < 2; ++r) {
    const testing::RankEnd end = ranks.finish(r, 10);
    EXPECT_EQ(end.code, 1);
    EXPECT_EQ(end.err.find(fmt::format("together\nmome: rank {} on {}: not heard of for 1.", 1 - r,
                                       host_name())),
              0u)
        << end.err;
    EXPECT_NE(end.err.find(fmt::format("; last step {}; this run ends\n", 91 - r)),
              std::string::npos)
        << end.err;
  }
}

}  // namespace
}  // namespace mome
