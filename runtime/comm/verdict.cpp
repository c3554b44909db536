#include "runtime/comm/verdict.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

namespace mome {
namespace {

double seconds(Jury::Time from, Jury::Time to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Now minus that many seconds, as a clock on the wall shows it.
std::string wall_clock(double seconds_ago) {
  return fmt::format("{:%H:%M:%S}", fmt::localtime(std::time(nullptr) - std::time_t(seconds_ago)));
}

}  // namespace

Jury::Jury(std::vector<std::string> hosts, double silent_seconds, double stall_seconds, Time now)
    : silent_seconds_(silent_seconds), stall_seconds_(stall_seconds), last_left_(now) {
  for (std::string& host : hosts) members_.push_back({std::move(host), {}, now, now});
}

void Jury::heard(int rank, const Heartbeat& beat, Time now) {
  Member& m = members_[size_t(rank)];
  m.heard = now;
  if (beat.progress != m.beat.progress || beat.doing != m.beat.doing) m.moved = now;
  m.beat = beat;
}

void Jury::left(int rank, Time now) {
  members_[size_t(rank)].left = true;
  last_left_ = now;  // those who stay may have waited for it until now
}

void Jury::forgive(Time now) {
  for (Member& m : members_) m.heard = m.moved = now;
}

std::string Jury::line(int rank, const std::string& what) const {
  const Member& m = members_[size_t(rank)];
  return fmt::format("rank {} on {}: {}; last step {}; this run ends", rank, m.host, what,
                     m.beat.step);
}

std::optional<std::string> Jury::judge(Time now) const {
  int present = 0, waiting = 0, waits = -1,
      stands = -1;  // waits, stands: who has done so for longest
  for (int r = 0; r < int(members_.size()); ++r) {
    const Member& m = members_[size_t(r)];
    if (m.left) continue;
    if (seconds(m.heard, now) > silent_seconds_)
      return line(
          r, fmt::format(
                 "not heard of for {:.3g} s (its network is lost, or the process does not run)",
                 seconds(m.heard, now)));
    ++present;
    if (seconds(m.moved, now) < stall_seconds_) continue;
    if (m.beat.doing == Doing::kWaiting) {
      ++waiting;
      if (waits < 0 || m.moved < members_[size_t(waits)].moved) waits = r;
    } else if (m.beat.doing == Doing::kComputing &&
               (stands < 0 || m.moved < members_[size_t(stands)].moved)) {
      stands = r;
    }
  }
  if (waits < 0) return {};
  if (stands >= 0) {
    const double since = seconds(members_[size_t(stands)].moved, now);
    return line(stands, fmt::format("stands still since {} ({:.3g} s) while rank {} waits for it",
                                    wall_clock(since), since, waits));
  }
  if (waiting == present && present > 1 && seconds(last_left_, now) >= stall_seconds_) {
    const Member& m = members_[size_t(waits)];
    const double since = seconds(m.moved, now);
    return fmt::format(
        "all {} ranks wait for each other since {} ({:.3g} s), first rank {} on {}: the network "
        "between them is lost, or their calls differ; last step {}; this run ends",
        present, wall_clock(since), since, waits, m.host, m.beat.step);
  }
  return {};
}

}  // namespace mome
