#include "runtime/log/interrupt.h"

#include <csignal>

namespace mome {
namespace {

volatile std::sig_atomic_t flag = 0;

void raise_flag(int signal) {
  flag = 1;
  if (signal == SIGUSR1) return;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  flag = 0;
  struct sigaction action = {};
  action.sa_handler = raise_flag;
  action.sa_flags = SA_RESTART;  // Reads and writes under way go on.
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGUSR1, &action, nullptr);
}

bool interrupted() { return flag != 0; }

}  // namespace mome
