#include "runtime/comm/rendezvous.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <list>
#include <thread>

#include "runtime/comm/socket.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

enum FrameType : uint32_t { kHello = 1, kText, kRefused, kGaveUp };

// After whom a silent connection has waited this long for its hello, it is a stranger's.
constexpr double kHelloSeconds = 5;

struct Hello {
  int32_t rank, size;
};

struct Guest {
  Link link;
  Clock::time_point until;
  int rank = -1;  // not yet known
  std::string host;
};

std::string hello_of(const PlainStart& start) {
  const Hello hello{start.rank, start.size};
  return std::string(reinterpret_cast<const char*>(&hello), sizeof hello) + host_name();
}

class Host {
 public:
  Host(const PlainStart& start, double seconds)
      : start_(start),
        seconds_(seconds),
        deadline_(after(seconds)),
        listener_(listen_on(start.port)) {
    if (!listener_)
      fail("rank 0 cannot listen at MASTER_PORT={}: {}; choose a free port", start.port,
           std::strerror(errno));
  }

  void serve(const std::string& text) {
    while (int(present()) < start_.size - 1) {
      if (seconds_until(deadline_) == 0) give_up();
      std::vector<int> descriptors{listener_.fd()};
      for (const Guest& g : guests_) descriptors.push_back(g.link.fd());
      wait_readable(descriptors, std::min(0.2, seconds_until(deadline_)));
      while (Socket s = accept_from(listener_))
        guests_.push_back({Link(std::move(s)), after(kHelloSeconds), -1, ""});
      for (auto g = guests_.begin(); g != guests_.end();)
        g = hear(*g) ? std::next(g) : guests_.erase(g);
    }
    for (Guest& g : guests_)
      if (g.rank >= 0 && !g.link.send(kText, text, deadline_))
        fail("rank 0: rank {} on {} went away while the ranks met", g.rank, g.host);
  }

 private:
  size_t present() const {
    size_t n = 0;
    for (const Guest& g : guests_) n += g.rank >= 0;
    return n;
  }

  // False: the guest is to be forgotten.
  bool hear(Guest& guest) {
    std::vector<Frame> frames;
    const Link::State state = guest.link.receive(frames);
    for (const Frame& frame : frames) {
      Hello hello;
      if (guest.rank >= 0 || frame.type != kHello || frame.body.size() < sizeof hello) return false;
      std::memcpy(&hello, frame.body.data(), sizeof hello);
      welcome(guest, hello, frame.body.substr(sizeof hello));
    }
    if (state != Link::State::kOpen) return false;
    return guest.rank >= 0 || seconds_until(guest.until) > 0;
  }

  void welcome(Guest& guest, const Hello& hello, const std::string& host) {
    if (hello.size != start_.size)
      refuse(guest, fmt::format("WORLD_SIZE={} on rank {} ({}), but WORLD_SIZE={} on rank 0 ({}); "
                                "all ranks need the same",
                                hello.size, hello.rank, host, start_.size, host_name()));
    if (hello.rank == 0)
      refuse(guest, fmt::format("RANK=0 twice: on {} and on {}", host_name(), host));
    if (hello.rank < 0 || hello.rank >= start_.size)
      refuse(guest,
             fmt::format("RANK={} on {} is outside 0 to {}", hello.rank, host, start_.size - 1));
    for (const Guest& g : guests_)
      if (g.rank == hello.rank)
        refuse(guest, fmt::format("RANK={} twice: on {} and on {}", hello.rank, g.host, host));
    guest.rank = hello.rank;
    guest.host = host;
  }

  // Everybody's start is wrong then, and everybody is told.
  [[noreturn]] void refuse(Guest& guest, const std::string& why) {
    guest.rank = std::max(guest.rank, 0);
    tell(kRefused, why);
    throw UsageError(why);
  }

  [[noreturn]] void give_up() {
    std::string missing;
    int count = 0;
    for (int r = 1; r < start_.size; ++r) {
      bool here = false;
      for (const Guest& g : guests_) here |= g.rank == r;
      if (here) continue;
      if (++count <= 16) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", r);
    }
    if (count > 16) missing += ", …";
    const std::string why = fmt::format(
        "{} of {} ranks did not come to MASTER_ADDR={}, MASTER_PORT={} within {:g} s: rank{} {} {} "
        "missing",
        count, start_.size, start_.address, start_.port, seconds_, count == 1 ? "" : "s", missing,
        count == 1 ? "is" : "are");
    tell(kGaveUp, why);
    throw Error(why);
  }

  void tell(FrameType type, const std::string& why) {
    for (Guest& g : guests_)
      if (g.rank >= 0) g.link.send(type, why, after(1));
  }

  const PlainStart& start_;
  const double seconds_;
  const Clock::time_point deadline_;
  Socket listener_;
  std::list<Guest> guests_;
};

std::string visit(const PlainStart& start, double seconds) {
  const Clock::time_point deadline = after(seconds);
  std::string why;
  while (true) {
    Socket socket = connect_to(start.address, start.port, deadline, why);
    if (socket) {
      Link link(std::move(socket));
      Frame frame;
      Link::State state = Link::State::kClosed;
      // Rank 0 waits as long for the last of us as we would: a moment more, so that its words on
      // who is missing arrive.
      if (link.send(kHello, hello_of(start), deadline))
        state = link.receive_one(frame, deadline + std::chrono::seconds(2));
      if (state == Link::State::kOpen && frame.type == kText) return frame.body;
      if (state == Link::State::kOpen && frame.type == kRefused) throw UsageError(frame.body);
      if (state == Link::State::kOpen && frame.type == kGaveUp) throw Error(frame.body);
      why = state == Link::State::kClosed ? "the connection was closed"
                                          : "whoever listens there is no rank of this program";
    }
    if (seconds_until(deadline) == 0)
      fail("rank {} on {} did not meet rank 0 at MASTER_ADDR={}, MASTER_PORT={} within {:g} s: {}",
           start.rank, host_name(), start.address, start.port, seconds, why);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

int64_t required(const char* name, int64_t least, int64_t most) {
  const auto value = number_from_environment(name, least, most);
  if (!value)
    throw UsageError(
        fmt::format("RANK={} is set, but {} is not; ranks that are started by plain variables need "
                    "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT",
                    std::getenv("RANK"), name));
  return *value;
}

}  // namespace

std::optional<int64_t> number_from_environment(const char* name, int64_t least, int64_t most) {
  const char* text = std::getenv(name);
  if (!text || !*text) return {};
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < least || value > most)
    throw UsageError(fmt::format("{}={} in the environment: expected a number of {} to {}", name,
                                 text, least, most));
  return value;
}

std::optional<PlainStart> plain_start() {
  constexpr int64_t kMost = 1 << 20;
  const auto rank = number_from_environment("RANK", 0, kMost);
  if (!rank) return {};
  PlainStart start;
  start.size = int(required("WORLD_SIZE", 1, kMost));
  start.rank = int(*number_from_environment("RANK", 0, start.size - 1));
  start.local_rank = int(required("LOCAL_RANK", 0, start.rank));
  start.local_size =
      int(number_from_environment("LOCAL_WORLD_SIZE", start.local_rank + 1, start.size)
              .value_or(start.local_rank + 1));
  const char* address = std::getenv("MASTER_ADDR");
  start.address = address ? address : "";
  if (start.address.empty()) required("MASTER_ADDR", 0, 0);
  start.port = uint16_t(required("MASTER_PORT", 1, 65534));
  const char* store = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  if (store && std::string_view(store) == "True") ++start.port;
  return start;
}

std::string from_rank_0(const PlainStart& start, const std::string& text, double seconds) {
  if (start.rank != 0) return visit(start, seconds);
  if (start.size > 1) Host(start, seconds).serve(text);
  return text;
}

}  // namespace mome
