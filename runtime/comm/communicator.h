// Ranks that compute one thing together, and what they say to each other. One interface over the field's engines:
//
//   threads.h   N ranks as threads of one process (tests; also a lesson: every call is a few lines)
//   mpi.h       MPI, for the CPU and the simt device
//   nccl.h      NCCL, for GPUs
//
// All ranks make the same calls in the same order with matching counts. Buffers lie on the communicator's device; the work
// is ordered after what the device's queue holds at the call, and what is enqueued later sees the result (on GPUs nothing
// waits on the host; elsewhere a call returns when it is done). Reductions have a fixed order: the same ranks with the same
// values get the same bits, every rank the same ones.
// Errors: Error naming the engine's call, its own words for the reason, and this rank.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/core/device.h"
#include "runtime/core/tensor.h"

namespace mome {

enum class Reduction : uint8_t { kSum, kMax };

class Communicator {
 public:
  explicit Communicator(Device& device) : device_(device) {}
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  Device& device() const { return device_; }

  /// data [count] of every rank becomes the sum or the maximum over ranks. kF32, kF64 or kI64.
  virtual void all_reduce(void* data, int64_t count, DType dtype, Reduction op = Reduction::kSum) = 0;
  /// from [size * count] -> to [count]: the sum over ranks of their part number rank(). `to` may be that part of `from`.
  virtual void reduce_scatter(const void* from, void* to, int64_t count, DType dtype) = 0;
  /// from [bytes] of every rank -> to [size * bytes], in the order of ranks. `from` may be part number rank() of `to`.
  virtual void all_gather(const void* from, void* to, size_t bytes) = 0;
  /// Parts of any sizes: bytes[r] from rank r, the same list on all ranks.
  virtual void all_gather_v(const void* from, void* to, std::span<const size_t> bytes) = 0;
  virtual void broadcast(void* data, size_t bytes, int root) = 0;

  struct Message {
    int rank;  // to, or from
    void* data;
    size_t bytes;
  };
  /// Point to point, all at once: what this rank sends and what it receives. Messages from one rank to another arrive in the
  /// order of both lists. A rank may send to itself.
  virtual void exchange(std::span<const Message> sends, std::span<const Message> receives) = 0;
  /// Returns when every rank has come here, work of their devices' queues included.
  virtual void barrier() = 0;

  /// The same ranks once more, for calls that are in flight beside this one's (lane.h): on a GPU on a stream of its own.
  virtual std::unique_ptr<Communicator> duplicate() = 0;
  /// On a GPU, of a duplicate: its later work waits for what the device's queue holds now. Else nothing.
  virtual void fork() {}
  /// The device's queue waits for this communicator's work so far.
  virtual void join() {}
  /// Makes the caller's wait for a duplicate's calls; watched.h tells the lifeline of it.
  virtual void waiting(const std::function<void()>& wait) { wait(); }

  /// Host memory of any size from every rank, in the order of ranks; returns when it is there.
  virtual std::vector<std::vector<char>> gather_host(std::span<const char> mine) = 0;

 private:
  Device& device_;
};

}  // namespace mome
