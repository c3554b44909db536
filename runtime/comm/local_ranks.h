// Ranks as processes of this host, started with torchrun's variables.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// What the other ranks are given when one has failed.
struct Patience {
  double last_words = 2;  // seconds until SIGTERM
  double saving = 5;      // from then until SIGKILL
};

/// Starts `command` `ranks` times with RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR
/// and MASTER_PORT, and waits for all. Each line that a rank writes comes out whole, behind "[rank]
/// ". SIGINT, SIGTERM, SIGUSR1 and SIGHUP are passed on and waited for. When a rank fails, its
/// number and status are said, and the others are ended: they have time for their own last words,
/// then comes SIGTERM, and later SIGKILL. Returns the exit status: 0, or that of the rank that
/// failed first (128 + the signal's number, where one ended it).
int run_local_ranks(int ranks, const std::vector<std::string>& command,
                    const Patience& patience = {});

}  // namespace mome
