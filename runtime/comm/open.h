// The ranks of this run and the engine that joins them: decided by what started this process.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "runtime/comm/communicator.h"

namespace mome {

enum class Start : uint8_t {
  kAlone,   // one process
  kMpirun,  // OMPI_COMM_WORLD_RANK and its like
  kSrun,    // a step of Slurm's: SLURM_PROCID and SLURM_STEP_NUM_TASKS
  kPlain,   // RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT (rendezvous.h)
};

struct World {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among those of this host
  Start start = Start::kAlone;
  std::string how = "alone";  // for people: "mpirun", "srun", "plain variables"
};

/// From the environment; RANK wins over Slurm's step, since torchrun may run within one, and mpirun
/// over both. UsageError, naming the variable and its value, where what is there makes no sense.
World world_from_environment();

/// The device's name on this rank: "cuda" becomes "cuda:LOCAL_RANK" of `gpus` (negative: they are
/// counted), or "cuda:0" where the launcher shows each rank one GPU alone. UsageError where ranks
/// of a host would have to share a GPU.
std::string local_device(const std::string& device, const World& world, int gpus = -1);

/// Joins all ranks: NCCL on GPUs (its identifier goes by MPI, or by TCP where there is none), MPI
/// on CPUs and the simt device. Null for one process. UsageError where the start does not fit the
/// device or the program, with what to do.
std::unique_ptr<Communicator> open_communicator(Device& device);

/// What ends this process's part in the engine where a rank is lost (LifelineOptions::abort).
std::function<void()> abort_hook(const Communicator& communicator);

}  // namespace mome
