#include "runtime/comm/lifeline.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <list>
#include <random>
#include <sstream>

#include "runtime/comm/socket.h"

namespace mome {
namespace {

enum FrameType : uint32_t { kHello = 101, kWelcome, kHeartbeat, kGoodbye, kFailure, kVerdict };
constexpr double kSendSeconds = 1, kFinishSeconds = 2;

std::string body_of(const Heartbeat& beat) {
  return std::string(reinterpret_cast<const char*>(&beat), sizeof beat);
}
bool read_heartbeat(const Frame& frame, Heartbeat& beat) {
  if (frame.type != kHeartbeat || frame.body.size() != sizeof beat) return false;
  std::memcpy(&beat, frame.body.data(), sizeof beat);
  return true;
}

// Rank 0's text to all: port, a token that no stranger knows, and where to reach it.
struct Invitation {
  uint16_t port = 0;
  std::string token, host;
  std::vector<std::string> addresses;

  std::string text() const {
    return fmt::format("{} {} {} {}", port, token, host, fmt::join(addresses, " "));
  }
  static Invitation parse(const std::string& text) {
    Invitation i;
    std::istringstream in(text);
    in >> i.port >> i.token >> i.host;
    for (std::string a; in >> a;) i.addresses.push_back(a);
    return i;
  }
};

std::vector<std::string> addresses() {
  const char* named = std::getenv("MOME_LIFELINE_ADDR");
  return named && *named ? std::vector<std::string>{named} : own_addresses();
}

std::string through(Communicator& communicator, const std::string& text) {
  const auto all = communicator.gather_host(communicator.rank() == 0 ? std::span<const char>(text)
                                                                     : std::span<const char>());
  return std::string(all[0].begin(), all[0].end());
}

// The end of this process with its line. The hook may hang in what it ends, so it is not waited for
// without limit; the moment after the line is for others to read the same verdict before a launcher
// sees the first exit and ends them.
[[noreturn]] void end_process(const std::string& line, const std::function<void()>& hook) {
  const std::string text = "mome: " + line + "\n";
  [[maybe_unused]] const ssize_t written = write(2, text.data(), text.size());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  if (hook) {
    auto done = std::make_shared<std::atomic<bool>>(false);
    std::thread([hook, done] {
      hook();
      *done = true;
    }).detach();
    for (const auto until = after(2); !*done && seconds_until(until) > 0;)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  _exit(1);
}

}  // namespace

// One rank's side of the connections.
class Lifeline::Star {
 public:
  virtual ~Star() = default;
  virtual std::vector<int> descriptors() const = 0;
  /// What has come. A line: the run ends.
  virtual std::optional<std::string> listen(Clock::time_point now) = 0;
  virtual std::optional<std::string> judge(Clock::time_point now) = 0;
  virtual void send(const Heartbeat& mine, Clock::time_point now) = 0;
  virtual void forgive(Clock::time_point now) = 0;
  virtual void goodbye() = 0;
  /// This rank gives up: the line, for all.
  virtual std::string failure(const std::string& why) = 0;
  /// Tells all who can be reached.
  virtual void proclaim(const std::string& line) = 0;
};

// Rank 0.
class Lifeline::Center : public Star {
 public:
  Center(int size, const std::function<std::string(const std::string&)>& from_rank_0,
         const LifelineOptions& o)
      : links_(size_t(size)) {
    Socket listener = listen_on(0);
    if (!listener) fail("lifeline: rank 0 cannot listen: {}", std::strerror(errno));
    std::random_device random;
    const Invitation invitation{port_of(listener), fmt::format("{:08x}{:08x}", random(), random()),
                                host_name(), addresses()};
    from_rank_0(invitation.text());

    std::vector<std::string> hosts(size_t(size), host_name());
    std::list<Link> guests;  // have not said who they are
    int missing = size - 1;
    for (const auto deadline = after(o.connect_seconds); missing > 0;) {
      if (seconds_until(deadline) == 0) complain(o.connect_seconds);
      std::vector<int> waited{listener.fd()};
      for (const Link& g : guests) waited.push_back(g.fd());
      wait_readable(waited, 0.2);
      while (Socket s = accept_from(listener)) guests.emplace_back(std::move(s));
      for (auto g = guests.begin(); g != guests.end();) {
        std::vector<Frame> frames;
        const Link::State state = g->receive(frames);
        int rank = -1;
        std::string token, host;
        if (!frames.empty() && frames[0].type == kHello)
          std::istringstream(frames[0].body) >> rank >> token >> host;
        if (token == invitation.token && rank > 0 && rank < size && !links_[size_t(rank)]) {
          g->send(kWelcome, "", after(kSendSeconds));
          links_[size_t(rank)] = std::make_unique<Link>(std::move(*g));
          hosts[size_t(rank)] = host;
          --missing;
          g = guests.erase(g);
        } else {
          g = state == Link::State::kOpen && frames.empty() ? std::next(g) : guests.erase(g);
        }
      }
    }
    jury_ =
        std::make_unique<Jury>(std::move(hosts), o.silent_seconds, o.stall_seconds, Clock::now());
  }

  std::vector<int> descriptors() const override {
    std::vector<int> all;
    for (const auto& link : links_)
      if (link) all.push_back(link->fd());
    return all;
  }

  std::optional<std::string> listen(Clock::time_point now) override {
    for (size_t r = 1; r < links_.size(); ++r) {
      if (!links_[r]) continue;
      std::vector<Frame> frames;
      const Link::State state = links_[r]->receive(frames);
      for (const Frame& frame : frames) {
        Heartbeat beat;
        if (read_heartbeat(frame, beat)) jury_->heard(int(r), beat, now);
        if (frame.type == kGoodbye) jury_->left(int(r), now);
        if (frame.type == kFailure) return jury_->line(int(r), frame.body);
      }
      if (state == Link::State::kOpen && !jury_->has_left(int(r))) continue;
      links_[r].reset();
      if (!jury_->has_left(int(r)))
        return jury_->line(int(r), "died (its connection closed without a goodbye)");
    }
    return {};
  }

  std::optional<std::string> judge(Clock::time_point now) override { return jury_->judge(now); }
  void forgive(Clock::time_point now) override { jury_->forgive(now); }

  // A rank that does not take its heartbeat is found out by its own silence.
  void send(const Heartbeat& mine, Clock::time_point now) override {
    jury_->heard(0, mine, now);
    to_all(kHeartbeat, body_of(mine));
  }
  void goodbye() override {
    to_all(kGoodbye, "");
    const auto deadline = after(kFinishSeconds);
    for (const auto& link : links_)
      if (link) link->finish(deadline);
  }
  std::string failure(const std::string& why) override { return jury_->line(0, why); }

  // Waits until the others have ended (their connections close), so that this rank's exit does not
  // come before their lines.
  void proclaim(const std::string& line) override {
    to_all(kVerdict, line);
    for (const auto until = after(1); seconds_until(until) > 0;) {
      bool open = false;
      for (const auto& link : links_) {
        std::vector<Frame> frames;
        open |= link && link->receive(frames) == Link::State::kOpen;
      }
      if (!open) return;
      wait_readable({}, 0.02);
    }
  }

 private:
  [[noreturn]] void complain(double seconds) const {
    std::string missing;
    for (size_t r = 1; r < links_.size(); ++r)
      if (!links_[r]) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", r);
    fail(
        "lifeline: rank 0 on {}: ranks {} did not connect within {:g} s; MOME_LIFELINE_ADDR can "
        "name the address of rank 0's host that all can reach",
        host_name(), missing, seconds);
  }

  void to_all(uint32_t type, const std::string& body) {
    for (const auto& link : links_)
      if (link) link->send(type, body, after(0));
  }

  std::vector<std::unique_ptr<Link>> links_;  // by rank; null: rank 0, and who has gone
  std::unique_ptr<Jury> jury_;
};

// Every other rank: knows of rank 0 alone.
class Lifeline::Ray : public Star {
 public:
  Ray(int rank, const std::function<std::string(const std::string&)>& from_rank_0,
      const LifelineOptions& o)
      : rank_(rank), link_(Socket()), silent_seconds_(o.silent_seconds) {
    const Invitation i = Invitation::parse(from_rank_0(""));
    std::string why = "it has no address";
    host_ = i.host;
    for (const auto deadline = after(o.connect_seconds); !link_is_welcome_;) {
      for (const std::string& address : i.addresses) {
        Socket s = connect_to(address, i.port, std::min(deadline, after(5)), why);
        if (!s) continue;
        Link link(std::move(s));
        Frame answer;
        link_is_welcome_ =
            link.send(kHello, fmt::format("{} {} {}", rank, i.token, host_name()), deadline) &&
            link.receive_one(answer, std::min(deadline, after(5))) == Link::State::kOpen &&
            answer.type == kWelcome;
        if (link_is_welcome_) {
          link_ = std::move(link);
          break;
        }
        why = "whoever listens there is not rank 0";
      }
      if (link_is_welcome_) break;
      if (seconds_until(deadline) == 0)
        fail(
            "lifeline: rank {} on {} cannot reach rank 0 on {} at port {} of {} within {:g} s: {}; "
            "MOME_LIFELINE_ADDR can name the address to use",
            rank, host_name(), i.host, i.port, fmt::join(i.addresses, ", "), o.connect_seconds,
            why);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    heard_ = Clock::now();
  }

  std::vector<int> descriptors() const override { return {link_.fd()}; }

  std::optional<std::string> listen(Clock::time_point now) override {
    if (left_) return {};
    std::vector<Frame> frames;
    const Link::State state = link_.receive(frames);
    for (const Frame& frame : frames) {
      if (read_heartbeat(frame, theirs_)) heard_ = now;
      if (frame.type == kVerdict) return frame.body;
      if (frame.type == kGoodbye) return left_ = true, link_.close(), std::nullopt;
    }
    if (state != Link::State::kOpen) return line("died (its connection closed without a goodbye)");
    return {};
  }

  std::optional<std::string> judge(Clock::time_point now) override {
    const double silent = std::chrono::duration<double>(now - heard_).count();
    if (left_ || silent <= silent_seconds_) return {};
    return line(fmt::format(
        "not heard of for {:.3g} s (its network is lost, or the process does not run)", silent));
  }
  void forgive(Clock::time_point now) override { heard_ = now; }
  void send(const Heartbeat& mine, Clock::time_point) override {
    if (!left_) link_.send(kHeartbeat, body_of(mine), after(0));
    step_ = mine.step;
  }
  void goodbye() override {
    if (link_.send(kGoodbye, "", after(kSendSeconds))) link_.finish(after(kFinishSeconds));
  }
  std::string failure(const std::string& why) override {
    link_.send(kFailure, why, after(kSendSeconds));
    return fmt::format("rank {} on {}: {}; last step {}; this run ends", rank_, host_name(), why,
                       step_);
  }
  void proclaim(const std::string&) override {}

 private:
  std::string line(const std::string& what) const {
    return fmt::format("rank 0 on {}: {}; last step {}; this run ends", host_, what, theirs_.step);
  }

  int rank_;
  Link link_;
  std::string host_;  // rank 0's
  double silent_seconds_;
  Heartbeat theirs_;
  int64_t step_ = 0;
  Clock::time_point heard_;
  bool left_ = false, link_is_welcome_ = false;
};

Lifeline::Lifeline(Communicator& communicator, const LifelineOptions& options)
    : Lifeline(
          communicator.rank(), communicator.size(),
          [&](const std::string& text) { return through(communicator, text); }, options) {}

Lifeline::Lifeline(int rank, int size,
                   const std::function<std::string(const std::string&)>& from_rank_0,
                   const LifelineOptions& options)
    : options_(options) {
  if (size == 1) return;
  if (rank == 0)
    star_ = std::make_unique<Center>(size, from_rank_0, options_);
  else
    star_ = std::make_unique<Ray>(rank, from_rank_0, options_);
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Lifeline::~Lifeline() {
  if (!star_) return;
  stop_ = true;
  thread_.join();
  if (std::uncaught_exceptions() == 0) star_->goodbye();
}

void Lifeline::run() {
  // Looks often enough that the times stand, and that the end of the program does not wait.
  const double look = std::min(0.1, options_.heartbeat_seconds / 4);
  Clock::time_point next = Clock::now(), looked = next;
  while (!stop_) {
    wait_readable(star_->descriptors(), look);
    const Clock::time_point now = Clock::now();
    if (std::chrono::duration<double>(now - looked).count() > options_.silent_seconds / 2)
      star_->forgive(now);
    looked = now;
    std::optional<std::string> line;
    if (gives_up_) line = star_->failure(why_);
    if (!line) line = star_->listen(now);
    if (!line && now >= next) {
      star_->send(beat(), now);
      next = now + std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(options_.heartbeat_seconds));
    }
    if (!line) line = star_->judge(now);
    if (!line) continue;
    star_->proclaim(*line);
    end_process(*line, options_.abort);
  }
}

void Lifeline::tick(int64_t step) {
  step_ = step;
  ++progress_;
}

Lifeline::Phase::Phase(Lifeline* lifeline, Doing doing) : lifeline_(lifeline) {
  if (!lifeline_) return;
  before_ = lifeline_->doing_.exchange(doing);
  ++lifeline_->progress_;
}
Lifeline::Phase::~Phase() {
  if (!lifeline_) return;
  lifeline_->doing_ = before_;
  ++lifeline_->progress_;
}

void Lifeline::give_up(const std::string& why) {
  if (!star_)
    end_process(fmt::format("{}; last step {}; this run ends", why, step_.load()), options_.abort);
  why_ = why;
  gives_up_ = true;
  while (true) pause();
}

}  // namespace mome
