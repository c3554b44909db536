#include "runtime/comm/open.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "runtime/comm/rendezvous.h"
#include "runtime/comm/slurm.h"
#if defined(MOME_WITH_MPI)
#include "runtime/comm/mpi.h"
#endif
#if defined(MOME_WITH_NCCL)
#include "runtime/comm/nccl.h"
#endif

namespace mome {
namespace {

constexpr int64_t kMost = 1 << 20;

int required(const char* name, const char* because, int64_t least, int64_t most) {
  const auto value = number_from_environment(name, least, most);
  if (!value)
    throw UsageError(fmt::format("{}={} is in the environment, but {} is not", because,
                                 std::getenv(because), name));
  return int(*value);
}

World world_of_mpirun() {
  const char* because = "OMPI_COMM_WORLD_SIZE";
  World w{.start = Start::kMpirun, .how = "mpirun"};
  w.size = int(*number_from_environment(because, 1, kMost));
  w.rank = required("OMPI_COMM_WORLD_RANK", because, 0, w.size - 1);
  w.local_size = required("OMPI_COMM_WORLD_LOCAL_SIZE", because, 1, w.size);
  w.local_rank = required("OMPI_COMM_WORLD_LOCAL_RANK", because, 0, w.local_size - 1);
  return w;
}

World world_of_plain(const PlainStart& start) {
  return {.rank = start.rank,
          .size = start.size,
          .local_rank = start.local_rank,
          .local_size = start.local_size,
          .start = Start::kPlain,
          .how = "plain variables"};
}

World world_of_srun(const SlurmStep& step) {
  return {.rank = step.rank,
          .size = step.size,
          .local_rank = step.local_rank,
          .local_size = step.local_size,
          .start = Start::kSrun,
          .how = "srun"};
}

int gpu_count() {
#if defined(MOME_WITH_CUDA)
  return cuda::device_count();
#else
  return 0;
#endif
}

#if defined(MOME_WITH_NCCL)
std::unique_ptr<Communicator> open_nccl(Device& device, const World& w) {
  std::string id = w.rank == 0 ? NcclCommunicator::new_identifier() : std::string(128, '\0');
  if (w.start == Start::kMpirun) {
#if defined(MOME_WITH_MPI)
    const auto mpi = MpiLibrary::open();
    mpi->broadcast(id.data(), id.size());
    return std::make_unique<NcclCommunicator>(device, w.rank, w.size, id, 300, mpi);
#else
    throw UsageError(
        "mpirun started this program, which was built without MPI: use `mome launch --plain`, "
        "srun, or install libopenmpi-dev and build again");
#endif
  }
  const PlainStart meeting =
      w.start == Start::kSrun ? meeting_of_step(*slurm_step()) : *plain_start();
  return std::make_unique<NcclCommunicator>(device, w.rank, w.size, from_rank_0(meeting, id));
}
#endif

}  // namespace

World world_from_environment() {
  World w;
  if (number_from_environment("OMPI_COMM_WORLD_SIZE", 1, kMost)) {
    w = world_of_mpirun();
  } else if (const auto plain = plain_start()) {
    w = world_of_plain(*plain);
  } else if (const auto step = slurm_step()) {
    w = world_of_srun(*step);
  } else if (number_from_environment("WORLD_SIZE", 1, kMost).value_or(1) > 1) {
    throw UsageError(fmt::format("WORLD_SIZE={} is in the environment, but RANK is not",
                                 std::getenv("WORLD_SIZE")));
  }
  return w.size > 1 ? w : World{};
}

std::string local_device(const std::string& device, const World& world, int gpus) {
  if (!device.starts_with("cuda") || world.local_size == 1) return device;
  if (device != "cuda")
    throw UsageError(
        fmt::format("--device {}: {} ranks on this host cannot share one GPU; with --device cuda "
                    "each takes its own",
                    device, world.local_size));
  if (gpus < 0) gpus = gpu_count();
  if (gpus == 1) return "cuda:0";
  if (gpus > 1 && gpus < world.local_size)
    throw UsageError(
        fmt::format("--device cuda: {} ranks on this host, but {} GPUs; each rank needs one",
                    world.local_size, gpus));
  return fmt::format("cuda:{}", world.local_rank);
}

std::unique_ptr<Communicator> open_communicator(Device& device) {
  const World w = world_from_environment();
  if (w.size == 1) return nullptr;
#if defined(MOME_WITH_NCCL)
  if (device.kind() == DeviceKind::kCuda) return open_nccl(device, w);
#endif
  if (w.start == Start::kPlain) {
    if (device.kind() == DeviceKind::kCuda)
      throw UsageError(
          "this program was built without NCCL, which ranks on GPUs that are started by plain "
          "variables (RANK, WORLD_SIZE, …) need");
    throw UsageError(
        fmt::format("--device {}: ranks that are started by plain variables (WORLD_SIZE={}) are "
                    "for GPUs; start those on CPUs with mpirun, srun or `mome launch`",
                    device.name(), w.size));
  }
#if defined(MOME_WITH_MPI)
  // OpenMPI itself would end the process, saying that it was built wrongly.
  if (w.start == Start::kSrun && !std::getenv("PMIX_RANK"))
    throw UsageError(
        fmt::format("srun started {} ranks without PMIx, which MPI needs to join them: give srun "
                    "--mpi=pmix, or "
                    "set SLURM_MPI_TYPE=pmix (`srun --mpi=list` says what there is)",
                    w.size));
  auto communicator = std::make_unique<MpiCommunicator>(device);
  if (communicator->size() != w.size)
    throw UsageError(fmt::format(
        "{} started {} ranks, but MPI sees {}: it is of another MPI than this program's, OpenMPI",
        w.how, w.size, communicator->size()));
  return communicator;
#else
  throw UsageError(
      fmt::format("{} started {} ranks, but this program was built without MPI; install "
                  "libopenmpi-dev and build again",
                  w.how, w.size));
#endif
}

std::function<void()> abort_hook(const Communicator& communicator) {
#if defined(MOME_WITH_NCCL)
  if (dynamic_cast<const NcclCommunicator*>(&communicator))
    return [] { NcclCommunicator::abort_all(); };
#endif
#if defined(MOME_WITH_MPI)
  // mpirun ends all ranks when one has ended with an error; srun does not unless it is told so.
  if (dynamic_cast<const MpiCommunicator*>(&communicator) &&
      world_from_environment().start == Start::kSrun)
    return [] { MpiLibrary::abort(); };
#endif
  static_cast<void>(communicator);
  return {};
}

}  // namespace mome
