#include "runtime/comm/local_ranks.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/comm/socket.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

/// One stream of one rank, read from a pipe and passed on line by line.
struct Lines {
  int fd = -1;
  FILE* to = nullptr;
  std::string prefix, rest;

  void pass_on() {
    std::array<char, 65536> part;
    const ssize_t got = read(fd, part.data(), part.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      if (!rest.empty()) fmt::print(to, "{}{}\n", prefix, rest);
      rest.clear();
      ::close(fd);
      fd = -1;
    } else {
      rest.append(part.data(), size_t(got));
      size_t begin = 0;
      for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1)
        fmt::print(to, "{}{}\n", prefix, std::string_view(rest).substr(begin, end - begin));
      rest.erase(0, begin);
    }
    std::fflush(to);
  }
};

/// The signals that are passed on, read from a descriptor instead of handled; as before at the end.
class Signals {
 public:
  Signals() {
    sigemptyset(&mask_);
    for (int s : {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGCHLD}) sigaddset(&mask_, s);
    sigprocmask(SIG_BLOCK, &mask_, &before_);
    fd_ = signalfd(-1, &mask_, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd_ < 0) fail("signalfd: {}", std::strerror(errno));
  }
  ~Signals() {
    ::close(fd_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  int fd() const { return fd_; }
  const sigset_t& before() const { return before_; }
  /// The next one that came, or 0.
  int next() const {
    signalfd_siginfo info;
    return read(fd_, &info, sizeof info) == sizeof info ? int(info.ssi_signo) : 0;
  }

 private:
  sigset_t mask_, before_;
  int fd_;
};

class LocalRanks {
 public:
  LocalRanks(int ranks, const std::vector<std::string>& command, const Patience& patience)
      : ranks_(ranks), command_(command), patience_(patience), pids_(size_t(ranks), 0) {
    const Socket listener = listen_on(0);  // its port is free when rank 0 wants it: it was just now
    port_ = port_of(listener);
  }

  int run() {
    for (int r = 0; r < ranks_; ++r) start(r);
    while (running_ > 0 || any_open()) {
      wait();
      while (const int signal = signals_.next())
        if (signal != SIGCHLD) to_all(signal);
      for (Lines& l : lines_)
        if (l.fd >= 0) l.pass_on();
      reap();
      escalate();
      // A grandchild may hold a pipe open; when all ranks have ended, what is left to read is
      // waited for only shortly.
      if (running_ == 0 && any_open() && seconds_until(last_end_) == 0) break;
    }
    return status_;
  }

 private:
  void start(int rank) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
      fail("pipe: {}", std::strerror(errno));
    const pid_t parent = getpid(), child = fork();
    if (child < 0) fail("fork: {}", std::strerror(errno));
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);  // a launcher that was killed leaves nobody behind
      if (getppid() != parent) _exit(127);
      setpgid(0, 0);  // a terminal's Ctrl-C comes through the launcher, once
      sigprocmask(SIG_SETMASK, &signals_.before(), nullptr);
      dup2(open("/dev/null", O_RDONLY), 0);
      dup2(out[1], 1);
      dup2(err[1], 2);
      exec(rank);
    }
    ::close(out[1]);
    ::close(err[1]);
    for (const auto& [fd, to] : {std::pair{out[0], stdout}, std::pair{err[0], stderr}}) {
      fcntl(fd, F_SETFL, O_NONBLOCK);
      lines_.push_back({fd, to, fmt::format("[{}] ", rank), ""});
    }
    pids_[size_t(rank)] = child;
    ++running_;
  }

  [[noreturn]] void exec(int rank) {
    const auto set = [](const char* name, const std::string& value) {
      setenv(name, value.c_str(), 1);
    };
    set("RANK", std::to_string(rank));
    set("LOCAL_RANK", std::to_string(rank));
    set("WORLD_SIZE", std::to_string(ranks_));
    set("LOCAL_WORLD_SIZE", std::to_string(ranks_));
    set("MASTER_ADDR", "127.0.0.1");
    set("MASTER_PORT", std::to_string(port_));
    std::vector<char*> argv;
    for (const std::string& word : command_) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    fmt::print(stderr, "{}: {}\n", argv[0], std::strerror(errno));
    std::fflush(stderr);
    _exit(127);
  }

  bool any_open() const {
    for (const Lines& l : lines_)
      if (l.fd >= 0) return true;
    return false;
  }

  void wait() const {
    std::vector<int> waited{signals_.fd()};
    for (const Lines& l : lines_) waited.push_back(l.fd);
    wait_readable(waited, 0.2);
  }

  void to_all(int signal) const {
    for (pid_t pid : pids_)
      if (pid > 0) kill(pid, signal);
  }

  void reap() {
    for (int r = 0; r < ranks_; ++r) {
      pid_t& pid = pids_[size_t(r)];
      int status = 0;
      if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid) continue;
      pid = 0;
      --running_;
      last_end_ = after(1);
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      if (code == 0 || failed_) continue;
      failed_ = true;
      status_ = code;
      next_step_ = after(patience_.last_words);
      const std::string what = WIFEXITED(status)
                                   ? fmt::format("exited with status {}", code)
                                   : fmt::format("was ended by signal {} ({})", WTERMSIG(status),
                                                 strsignal(WTERMSIG(status)));
      fmt::print(stderr, "mome launch: rank {} {}{}\n", r, what,
                 running_ > 0 ? "; the others are ended" : "");
    }
  }

  void escalate() {
    if (!failed_ || running_ == 0 || seconds_until(next_step_) > 0) return;
    to_all(asked_ ? SIGKILL : SIGTERM);
    if (!asked_) to_all(SIGCONT);  // who was stopped could not hear it
    asked_ = true;
    next_step_ = after(patience_.saving);
  }

  const int ranks_;
  const std::vector<std::string>& command_;
  const Patience patience_;
  uint16_t port_ = 0;
  Signals signals_;
  std::vector<pid_t> pids_;  // by rank; 0: has ended
  std::vector<Lines> lines_;
  int running_ = 0, status_ = 0;
  bool failed_ = false, asked_ = false;
  Clock::time_point next_step_, last_end_;
};

}  // namespace

int run_local_ranks(int ranks, const std::vector<std::string>& command, const Patience& patience) {
  return LocalRanks(ranks, command, patience).run();
}

}  // namespace mome
