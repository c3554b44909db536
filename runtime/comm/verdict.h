// What rank 0 concludes from the heartbeats of all ranks: pure bookkeeping with the time passed in
// (lifeline.h has the threads and the sockets).
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mome {

/// What a rank's main thread does.
enum class Doing : uint32_t {
  kComputing,
  kWaiting,    // in a collective call
  kUnhurried,  // something that may take long (saving, opening data): it is not judged
};

/// A rank says this every few seconds.
struct Heartbeat {
  int64_t step = 0;       // the last one that began
  uint64_t progress = 0;  // counts up at every step and at every beginning and end of a wait
  Doing doing = Doing::kComputing;
};

class Jury {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// hosts[r]: rank r's. Everybody counts as heard of now.
  Jury(std::vector<std::string> hosts, double silent_seconds, double stall_seconds, Time now);

  void heard(int rank, const Heartbeat& beat, Time now);
  /// It said goodbye: it is not judged any more.
  void left(int rank, Time now);
  bool has_left(int rank) const { return members_[size_t(rank)].left; }
  /// This process itself did not run for a while: what it missed is nobody's fault.
  void forgive(Time now);

  /// The line that ends the run, or nothing. Silent: no heartbeat for silent_seconds. Stands still:
  /// neither in a collective call nor anywhere further for stall_seconds, while another rank has
  /// waited in a collective call for as long. If all ranks wait that long, then for each other:
  /// none is to blame.
  std::optional<std::string> judge(Time now) const;
  /// The line for a rank of which something else is known.
  std::string line(int rank, const std::string& what) const;

 private:
  struct Member {
    std::string host;
    Heartbeat beat;
    Time heard, moved;
    bool left = false;
  };
  double silent_seconds_, stall_seconds_;
  std::vector<Member> members_;
  Time last_left_;
};

}  // namespace mome
