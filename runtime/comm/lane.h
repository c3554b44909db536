// Communication beside computation: calls that are posted here run in order on a duplicate of a communicator, while the
// caller goes on computing. On a GPU they are enqueued at once, on the duplicate's stream, after what the device's queue
// holds at the post; on the CPU, whose work is done at the post, a thread of the lane's makes them. The simt device, whose
// queue belongs to one thread, makes them at the post.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/comm/communicator.h"

namespace mome {

class Lane {
 public:
  using Call = std::function<void(Communicator&)>;
  /// All ranks make their lanes in the same order.
  explicit Lane(Communicator& communicator);
  ~Lane();  // waits for calls that were posted; their errors are lost
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// Returns a ticket for wait(). All ranks post the same calls in the same order.
  uint64_t post(Call call);
  /// What the caller enqueues from now on sees the results of the calls up to this ticket. Rethrows the first error of a call,
  /// then and always.
  void wait(uint64_t ticket);
  void wait_all() { wait(posted_); }

  /// Since the last call of this: seconds that calls took, and that wait() blocked. Of the CPU only.
  struct Seconds {
    double busy = 0, waited = 0;
  };
  Seconds seconds();

 private:
  void work();

  Communicator& original_;
  std::unique_ptr<Communicator> communicator_;
  const bool threaded_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Call> calls_;
  uint64_t posted_ = 0, done_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  Seconds seconds_;
  std::thread thread_;
};

}  // namespace mome
