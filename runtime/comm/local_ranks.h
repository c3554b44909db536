// Ranks as processes of this host, started with torchrun's variables.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// Starts `command` `ranks` times with RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and waits
/// for all. Each line that a rank writes comes out whole, behind "[rank] ". SIGINT, SIGTERM, SIGUSR1 and SIGHUP are passed on
/// and waited for. When a rank fails, its number and status are said, and the others are ended: they have two seconds for
/// their own last words, then SIGTERM, and five seconds later SIGKILL.
/// Returns the exit status: 0, or that of the rank that failed first (128 + the signal's number, where one ended it).
int run_local_ranks(int ranks, const std::vector<std::string>& command);

}  // namespace mome
