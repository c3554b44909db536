// Makes the samples of coming batches on worker threads, a bounded number of batches ahead, and
// hands batches over in order. What a sample is, it does not know: it calls a function.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace mome {

class Prefetcher {
 public:
  /// Batches that lie in memory at once: one with the caller, two being made.
  static constexpr int kSlots = 3;

  /// make(step, i, slot) makes sample i of batch `step` in slot step % kSlots; it is called from
  /// `threads` >= 1 threads at once, once for each sample, and must be a pure function of (step,
  /// i).
  using Make = std::function<void(int64_t step, int i, int slot)>;
  Prefetcher(int batch, int threads, int64_t first_step, Make make);
  ~Prefetcher();  // as stop()
  /// Returns after the samples now being made. next() must not be called after it.
  void stop();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Gives the previous slot back, waits for the next batch and returns its step. Rethrows what
  /// make threw for its first bad sample, then and at every later call.
  int64_t next();

  /// Seconds that next() has blocked since the last call of this: what the training step lost to
  /// its input. 0 when every batch was ready. For the thread that calls next().
  double waited() { return std::exchange(waited_, 0.0); }

 private:
  struct Slot {
    int left = 0;        // samples not made yet
    int bad_sample = 0;  // whose exception it is: the lowest, whatever the order in time
    std::exception_ptr error;
  };

  void work();

  const int batch_;
  const Make make_;
  std::mutex mutex_;
  std::condition_variable room_, made_;
  bool stop_ = false;
  int64_t wanted_;     // step that next() hands over next
  int64_t step_;       // of the next sample to make
  int sample_ = 0;     // the next sample to make
  int64_t end_;        // first step that must wait for a slot
  double waited_ = 0;  // seconds
  bool first_ = true;  // no slot is with the caller yet
  Slot slots_[kSlots];
  std::vector<std::thread> threads_;
};

}  // namespace mome
