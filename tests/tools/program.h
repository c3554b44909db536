// Runs the program as a user would: a fixture with a folder of its own that goes when the test
// ends.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "runtime/io/atomic_file.h"

namespace mome {

struct Result {
  int code;  // exit code; minus the signal if one ended it
  std::string out, err;
};

class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  ~ProgramTest() override { std::filesystem::remove_all(folder_); }

  /// Starts the program; `out` names a file for its standard output ("": one that finish() reads
  /// back).
  pid_t start(std::vector<std::string> arguments, const std::string& out = "") {
    arguments.insert(arguments.begin(), MOME_PROGRAM);
    const std::string out_path = out.empty() ? path("stdout") : out, err_path = path("stderr");
    const pid_t child = fork();
    if (child == 0) {
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      dup2(open(out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
      dup2(open(err_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
      execv(argv[0], argv.data());
      _exit(127);
    }
    return child;
  }
  Result finish(pid_t child, const std::string& out = "") {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            out.empty() ? read_file(path("stdout")) : "", read_file(path("stderr"))};
  }
  /// Starts the program and kills it as soon as `file` is there (empty: at once). Returns whether it
  /// was killed: a moment may pass unseen between two looks, or lie behind; then it runs to its end.
  bool kill_at(const std::vector<std::string>& arguments, const std::string& file) {
    const pid_t child = start(arguments);
    int status = 0;
    bool ended = false;
    while (!ended && !file.empty() && !std::filesystem::exists(file)) {
      ended = waitpid(child, &status, WNOHANG) == child;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    if (!ended) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  Result mome(const std::vector<std::string>& arguments, const std::string& out = "") {
    return finish(start(arguments, out), out);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  const std::string folder_ = ::testing::TempDir() + "mome_program_" + std::to_string(getpid());
};

}  // namespace mome
