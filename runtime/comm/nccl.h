// The communicator over NCCL: ranks on GPUs, one each. Compiled into programs with the cuda device
// where CMake found NCCL (MOME_WITH_NCCL).
//
// Calls are enqueued on the device queue's stream, those of a duplicate on a stream of its own, and
// nothing but barrier() and gather_host() waits on the host. The NCCL communicators are
// non-blocking ones: a host call that cannot go on (a rank is missing while connections are made)
// can be given up, and NCCL's asynchronous errors are looked at with every call.
#pragma once
#include "runtime/comm/communicator.h"

namespace mome {

class NcclCommunicator : public Communicator {
 public:
  /// What rank 0 makes and all ranks are given: 128 bytes that are no text.
  static std::string new_identifier();

  /// The ranks with one identifier. Waits for all of them `seconds` long. `launcher` lives as long
  /// as this does (MPI, where that started the ranks).
  NcclCommunicator(Device& device, int rank, int size, const std::string& identifier,
                   double seconds = 300, std::shared_ptr<void> launcher = nullptr);
  /// Waits for this communicator's work. While an exception is on its way the work is aborted:
  /// others may never do their part.
  ~NcclCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction op) override;
  void reduce_scatter(const void* from, void* to, int64_t count, DType dtype) override;
  void all_gather(const void* from, void* to, size_t bytes) override;
  void all_gather_v(const void* from, void* to, std::span<const size_t> bytes) override;
  void broadcast(void* data, size_t bytes, int root) override;
  void exchange(std::span<const Message> sends, std::span<const Message> receives) override;
  void barrier() override;
  std::unique_ptr<Communicator> duplicate() override;
  void fork() override;
  void join() override;
  std::vector<std::vector<char>> gather_host(std::span<const char> mine) override;

  /// Aborts what this process's communicators do, wherever it stands, before the process ends; any
  /// thread may call it. Who waits in one waits for ever then.
  static void abort_all() noexcept;

 private:
  struct Handle;  // ncclComm_t
  cuda::Queue& queue() const;
  // A result of NCCL; waits until the call is over.
  void check(int result, const char* call) const;
  void check_queued(int result, const char* call) const;
  [[noreturn]] void complain(int result, const char* call) const;
  void wait_for_stream() const;

  const int rank_, size_;
  const double seconds_;
  std::shared_ptr<void> launcher_;
  std::unique_ptr<cuda::Queue> own_;  // of a duplicate
  std::unique_ptr<Handle> handle_;
  void* word_ = nullptr;  // device memory that barriers reduce
};

}  // namespace mome
