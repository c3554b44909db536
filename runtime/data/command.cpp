#include "runtime/data/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <sstream>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/data/trim.h"

namespace mome {
namespace {

constexpr size_t kKeptWords = 2048;  // bytes of standard error that a message may need

struct Pipe {
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe: {}", std::strerror(errno));
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  void close_end(int i) {
    if (ends[i] >= 0) ::close(ends[i]);
    ends[i] = -1;
  }
  int ends[2];  // read, write
};

class Child {
 public:
  Child(const std::string& command, int out, int err) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    // A group of its own, so that a whole pipeline can be killed; signals as a shell expects them.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(
        &how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string shell = "sh", flag = "-c", text = command;
    char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
    const int error = posix_spawn(&id_, "/bin/sh", &files, &how, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (error != 0) fail("cannot start /bin/sh: {}", std::strerror(error));
  }
  ~Child() {
    if (id_ <= 0) return;
    ::kill(-id_, SIGKILL);
    wait();
  }
  /// Waits for its end; returns what waitpid says.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = 0;
    return status;
  }

 private:
  pid_t id_ = 0;
};

void write_all(int to, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(to, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot keep its output: {}", std::strerror(errno));
    data += n;
    size -= size_t(n);
  }
}

// The last five lines, indented.
std::string last_words(const std::string& text) {
  const std::string words = trim(text);
  if (words.empty()) return "; it wrote nothing to its standard error";
  std::deque<std::string> lines;
  std::istringstream in(words);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
    if (lines.size() > 5) lines.pop_front();
  }
  std::string out = "; its last lines:";
  for (const std::string& line : lines) out += "\n    " + line;
  return out;
}

}  // namespace

uint64_t run_command(const std::string& command, int to, const std::function<bool()>& stop) {
  if (stop()) fail("stopped");
  Pipe out, err;
  Child child(command, out.ends[1], err.ends[1]);
  out.close_end(1);
  err.close_end(1);
  uint64_t bytes = 0;
  std::string words;
  std::vector<char> buffer(1 << 18);
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    pollfd ready[2] = {{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}};
    const int n = ::poll(ready, 2, 50);
    if (stop()) fail("stopped");
    if (n <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      Pipe& pipe = i == 0 ? out : err;
      if (pipe.ends[0] < 0 || ready[i].revents == 0) continue;
      const ssize_t got = ::read(pipe.ends[0], buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        pipe.close_end(0);
      } else if (i == 0) {
        write_all(to, buffer.data(), size_t(got));
        bytes += uint64_t(got);
      } else {
        words.append(buffer.data(), size_t(got));
        if (words.size() > kKeptWords) words.erase(0, words.size() - kKeptWords);
      }
    }
  }
  const int status = child.wait();
  if (WIFSIGNALED(status)) fail("killed by signal {}{}", WTERMSIG(status), last_words(words));
  if (WEXITSTATUS(status) != 0) fail("exit status {}{}", WEXITSTATUS(status), last_words(words));
  return bytes;
}

}  // namespace mome
