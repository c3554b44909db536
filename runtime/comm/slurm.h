// What Slurm tells a process that srun started.
#pragma once
#include <optional>
#include <string>

#include "runtime/comm/rendezvous.h"

namespace mome {

struct SlurmStep {
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  std::string first_host;  // of the step's nodes; rank 0's with Slurm's default distributions
};

/// Nothing outside a step of srun's: a batch script has SLURM_PROCID and SLURM_NTASKS, too, but no
/// SLURM_STEP_NUM_TASKS.
std::optional<SlurmStep> slurm_step();

/// Where the ranks of a step meet: MASTER_ADDR and MASTER_PORT where they are set, else the step's
/// first host and a port of 23000 to 30999 made from the numbers of job and step.
PlainStart meeting_of_step(const SlurmStep& step);

/// The first name of a list as Slurm writes them: "gpu[007-010,12],login1" gives "gpu007".
std::string first_host_of(const std::string& list);
/// Ranks of node number `node` from SLURM_STEP_TASKS_PER_NODE: "8(x3),4" has 8 on nodes 0 to 2 and
/// 4 on node 3. 0: not said.
int tasks_of_node(const std::string& list, int node);

}  // namespace mome
