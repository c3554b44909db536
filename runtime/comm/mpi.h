// The communicator over MPI 3 (Debian's OpenMPI): ranks on CPUs, and on devices whose memory MPI
// does not know (simt), which go through host memory. Compiled where CMake found MPI
// (MOME_WITH_MPI).
//
// Every call waits for the device's queue first and returns when it is done. Counts near what MPI's
// int can say are cut into pieces. MPI has no call whose order of summation is promised, but
// OpenMPI's choice of algorithm depends on the count and the number of ranks alone: equal calls
// give equal bits.
#pragma once
#include "runtime/comm/communicator.h"

namespace mome {

/// This process among those that mpirun or srun started. Begins MPI once per process; the last
/// owner ends it (not while an exception is on its way: an end without MPI_Finalize is how mpirun
/// learns that a rank failed, and ends the others).
class MpiLibrary {
 public:
  /// Throws Error where MPI cannot begin, has ended before, or lacks MPI_THREAD_MULTIPLE
  /// (duplicates are used from a thread beside the main one).
  static std::shared_ptr<MpiLibrary> open();
  ~MpiLibrary();
  MpiLibrary(const MpiLibrary&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Host memory of rank 0 to all ranks; `bytes` is the same everywhere.
  void broadcast(void* data, size_t bytes) const;
  /// Ends every rank at once; any thread may call it.
  [[noreturn]] static void abort();

 private:
  MpiLibrary();
  int rank_ = 0, size_ = 1;
};

class MpiCommunicator : public Communicator {
 public:
  /// All processes that were started together. `largest`: the most elements (of a broadcast, gather
  /// or message: bytes) that one MPI call is given; by default 1 GiB of doubles. Tests use few.
  explicit MpiCommunicator(Device& device, int64_t largest = int64_t{1} << 27);
  ~MpiCommunicator() override;

  int rank() const override { return library_->rank(); }
  int size() const override { return library_->size(); }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction op) override;
  void reduce_scatter(const void* from, void* to, int64_t count, DType dtype) override;
  void all_gather(const void* from, void* to, size_t bytes) override;
  void all_gather_v(const void* from, void* to, std::span<const size_t> bytes) override;
  void broadcast(void* data, size_t bytes, int root) override;
  void exchange(std::span<const Message> sends, std::span<const Message> receives) override;
  void barrier() override;
  std::unique_ptr<Communicator> duplicate() override;
  std::vector<std::vector<char>> gather_host(std::span<const char> mine) override;

 private:
  struct Handle;  // MPI_Comm
  MpiCommunicator(const MpiCommunicator& original);
  void gather_parts(const void* from, char* to, std::span<const size_t> bytes);
  void broadcast_host(char* data, size_t bytes, int root);
  void check(int result, const char* call) const;

  std::shared_ptr<MpiLibrary> library_;
  std::unique_ptr<Handle> handle_;
  int64_t largest_;
};

}  // namespace mome
