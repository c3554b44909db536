// Ranks as forked processes of a test, each with its standard error kept.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/comm/socket.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome::testing {

/// A port that was free just now.
inline uint16_t free_port() { return port_of(listen_on(0)); }

struct RankEnd {
  int code;  // exit status; minus the signal if one ended it
  std::string err;
};

class ForkedRanks {
 public:
  /// body(rank) returns the exit status. An exception: its text goes to standard error, 1.
  ForkedRanks(int ranks, const std::function<int(int rank)>& body) {
    std::filesystem::create_directories(folder_);
    for (int r = 0; r < ranks; ++r) {
      const pid_t child = fork();
      if (child == 0) {
        dup2(open(file(r).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600), 2);
        int code = 1;
        try {
          code = body(r);
        } catch (const std::exception& error) {
          fmt::print(stderr, "{}\n", error.what());
        }
        std::fflush(nullptr);
        _exit(code);
      }
      pids_.push_back(child);
    }
  }
  ~ForkedRanks() {
    for (pid_t pid : pids_)
      if (pid > 0) end(pid);
    std::filesystem::remove_all(folder_);
  }
  ForkedRanks(const ForkedRanks&) = delete;

  pid_t pid(int rank) const { return pids_[size_t(rank)]; }

  /// Waits for that rank to end, `seconds` at most: then it is killed and code is -9.
  RankEnd finish(int rank, double seconds) {
    int status = 0;
    pid_t& pid = pids_[size_t(rank)];
    const auto deadline = after(seconds);
    while (waitpid(pid, &status, WNOHANG) == 0) {
      if (seconds_until(deadline) == 0) status = end(pid);
      if (seconds_until(deadline) == 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    pid = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(file(rank))};
  }

 private:
  static int end(pid_t pid) {
    int status = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return status;
  }
  std::string file(int rank) const { return fmt::format("{}/{}", folder_, rank); }

  static inline int number_ = 0;
  const std::string folder_ =
      fmt::format("{}mome_ranks_{}_{}", ::testing::TempDir(), getpid(), number_++);
  std::vector<pid_t> pids_;
};

}  // namespace mome::testing
