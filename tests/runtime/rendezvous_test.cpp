// Ranks that meet at MASTER_ADDR and MASTER_PORT, on this host's loopback; and the variables that
// say so.
#include "runtime/comm/rendezvous.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>

#include "runtime/comm/socket.h"
#include "runtime/core/error.h"
#include "tests/runtime/environment.h"

namespace mome {
namespace {

using testing::Environment;

PlainStart start_of(int rank, int size, uint16_t port) {
  PlainStart start;
  start.rank = rank;
  start.size = size;
  start.address = "127.0.0.1";
  start.port = port;
  return start;
}

uint16_t free_port() { return port_of(listen_on(0)); }

/// What rank `rank` got, or the text of its exception behind its kind.
std::future<std::string> meet(const PlainStart& start, const std::string& text, double seconds) {
  return std::async(std::launch::async, [=] {
    try {
      return from_rank_0(start, text, seconds);
    } catch (const UsageError& error) {
      return std::string("usage: ") + error.what();
    } catch (const Error& error) {
      return std::string("error: ") + error.what();
    }
  });
}

TEST(Rendezvous, TextOfRank0ReachesAll) {
  std::string text(128, '\0');  // as NCCL's identifier: any bytes
  for (size_t i = 0; i < text.size(); ++i) text[i] = char(i * 37);
  for (int late : {0, 2}) {  // whoever comes last
    const uint16_t port = free_port();
    std::vector<std::future<std::string>> got(4);
    for (int r = 0; r < 4; ++r)
      if (r != late) got[size_t(r)] = meet(start_of(r, 4, port), r == 0 ? text : "", 20);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    got[size_t(late)] = meet(start_of(late, 4, port), late == 0 ? text : "", 20);
    for (auto& g : got) EXPECT_EQ(g.get(), text);
  }
  EXPECT_EQ(from_rank_0(start_of(0, 1, 1), text), text) << "alone";
}

TEST(Rendezvous, MissingRanksAreNamedByAll) {
  const uint16_t port = free_port();
  auto zero = meet(start_of(0, 5, port), "text", 0.8), three = meet(start_of(3, 5, port), "", 0.8);
  const std::string expected = fmt::format(
      "error: 3 of 5 ranks did not come to MASTER_ADDR=127.0.0.1, MASTER_PORT={} within 0.8 s: "
      "ranks 1, 2, 4 are missing",
      port);
  EXPECT_EQ(zero.get(), expected);
  EXPECT_EQ(three.get(), expected);
}

TEST(Rendezvous, MissingRank0IsNamed) {
  const uint16_t port = free_port();
  EXPECT_EQ(meet(start_of(1, 2, port), "", 0.3).get(),
            fmt::format("error: rank 1 on {} did not meet rank 0 at MASTER_ADDR=127.0.0.1, "
                        "MASTER_PORT={} within 0.3 s: Connection refused",
                        host_name(), port));
  const std::string unknown = [&] {
    PlainStart start = start_of(1, 2, port);
    start.address = "no-such-host.invalid";
    return meet(start, "", 0.3).get();
  }();
  EXPECT_NE(unknown.find("MASTER_ADDR=no-such-host.invalid"), std::string::npos) << unknown;
}

TEST(Rendezvous, StrangersAreIgnored) {
  const uint16_t port = free_port();
  auto zero = meet(start_of(0, 2, port), "text", 20);
  std::string why;
  std::vector<Socket> strangers;
  for (const char* words :
       {"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "", "mome, but no frame of mome's at all"}) {
    Socket s;
    while (!s) s = connect_to("127.0.0.1", port, after(5), why);
    EXPECT_EQ(write(s.fd(), words, std::strlen(words)), ssize_t(std::strlen(words)));
    strangers.push_back(std::move(s));  // stay connected
  }
  Link speaks(connect_to("127.0.0.1", port, after(5), why));
  EXPECT_TRUE(speaks.send(77, "a frame of another kind", after(5)));
  Frame answer;
  EXPECT_EQ(speaks.receive_one(answer, after(5)), Link::State::kClosed);
  EXPECT_EQ(meet(start_of(1, 2, port), "", 20).get(), "text");
  EXPECT_EQ(zero.get(), "text");
}

// A rank meets a server of another kind at the master's port.
TEST(Rendezvous, AStrangerInRank0sPlace) {
  const Socket listener = listen_on(0);
  auto one = meet(start_of(1, 2, port_of(listener)), "", 0.5);
  std::vector<Socket> served;
  while (one.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready)
    if (Socket s = accept_from(listener)) {
      EXPECT_GT(write(s.fd(), "220 mail.example ready\r\n", 24), 0);
      served.push_back(std::move(s));
    }
  const std::string said = one.get();
  EXPECT_NE(said.find("whoever listens there is no rank of this program"), std::string::npos)
      << said;
}

TEST(Rendezvous, RanksThatDoNotFit) {
  for (const auto& [rank, size, what] :
       {std::tuple(1, 4,
                   fmt::format("usage: WORLD_SIZE=4 on rank 1 ({0}), but WORLD_SIZE=3 on rank 0 "
                               "({0}); all ranks need the same",
                               host_name())),
        std::tuple(2, 3, fmt::format("usage: RANK=2 twice: on {0} and on {0}", host_name()))}) {
    const uint16_t port = free_port();
    auto zero = meet(start_of(0, 3, port), "text", 20), two = meet(start_of(2, 3, port), "", 20);
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    auto other = meet(start_of(rank, size, port), "", 20);
    EXPECT_EQ(zero.get(), what);
    EXPECT_EQ(two.get(), what);
    EXPECT_EQ(other.get(), what);
  }
}

TEST(Rendezvous, AnOccupiedPort) {
  const Socket listener = listen_on(0);
  const uint16_t port = port_of(listener);
  EXPECT_EQ(meet(start_of(0, 2, port), "", 5).get(),
            fmt::format("error: rank 0 cannot listen at MASTER_PORT={}: Address already in use; "
                        "choose a free port",
                        port));
}

const std::vector<std::pair<std::string, std::string>> kGood = {{"RANK", "5"},
                                                                {"WORLD_SIZE", "8"},
                                                                {"LOCAL_RANK", "1"},
                                                                {"LOCAL_WORLD_SIZE", "4"},
                                                                {"MASTER_ADDR", "node0"},
                                                                {"MASTER_PORT", "29500"}};

TEST(PlainVariables, AreRead) {
  Environment environment(kGood);
  const auto start = plain_start();
  ASSERT_TRUE(start);
  EXPECT_EQ(start->rank, 5);
  EXPECT_EQ(start->size, 8);
  EXPECT_EQ(start->local_rank, 1);
  EXPECT_EQ(start->local_size, 4);
  EXPECT_EQ(start->address, "node0");
  EXPECT_EQ(start->port, 29500);
  environment.set("TORCHELASTIC_USE_AGENT_STORE", "True");
  EXPECT_EQ(plain_start()->port, 29501);
  environment.unset("RANK");
  EXPECT_FALSE(plain_start());
}

TEST(PlainVariables, WhatIsWrongIsNamed) {
  const std::pair<std::string, std::string> wrong[] = {
      {"RANK", "8"},          {"RANK", "-1"},
      {"RANK", "one"},        {"WORLD_SIZE", "0"},
      {"WORLD_SIZE", "8 "},   {"LOCAL_RANK", "6"},
      {"LOCAL_RANK", "0x1"},  {"LOCAL_WORLD_SIZE", "1"},
      {"MASTER_PORT", "0"},   {"MASTER_PORT", "65535"},
      {"MASTER_PORT", "http"}};
  for (const auto& [name, value] : wrong) {
    Environment environment(kGood);
    environment.set(name, value);
    try {
      plain_start();
      ADD_FAILURE() << name << "=" << value << " was taken";
    } catch (const UsageError& error) {
      EXPECT_EQ(std::string(error.what())
                    .find(name + "=" + value + " in the environment: expected a number of "),
                0u)
          << error.what();
    }
  }
  for (const char* name : {"WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}) {
    Environment environment(kGood);
    environment.unset(name);
    try {
      plain_start();
      ADD_FAILURE() << name << " was missing";
    } catch (const UsageError& error) {
      EXPECT_EQ(
          std::string(error.what()).find(std::string("RANK=5 is set, but ") + name + " is not"), 0u)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace mome
