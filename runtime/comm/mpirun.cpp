#include "runtime/comm/mpirun.h"

#include <unistd.h>

namespace mome {

std::vector<std::string> mpirun_command(int ranks) {
  std::vector<std::string> command = {"mpirun",          "-n",        std::to_string(ranks),
                                      "--oversubscribe", "--bind-to", "none"};
  if (geteuid() == 0) command.push_back("--allow-run-as-root");
  return command;
}

}  // namespace mome
