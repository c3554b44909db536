// A rank that dies, hangs or loses its network ends the run on all ranks, and each says which rank
// it was, on which host and at which step. Without this the others would wait in a collective call
// for ever.
//
// A star of TCP connections to rank 0, beside the engine's own network. A thread of each rank sends
// a heartbeat every few seconds and says what the main thread does; rank 0 judges (verdict.h),
// sends its verdict to all whom it can reach, and everybody prints the line and ends its process
// with _exit(1): a main thread that is stuck in MPI or in a kernel cannot be asked. Who loses rank
// 0 concludes the same about rank 0. With the default times that is
//   died                at once (its connection closes without a goodbye)
//   silent              20 s after the last heartbeat
//   stands still        45 s after another rank began to wait for it
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "runtime/comm/communicator.h"
#include "runtime/comm/verdict.h"

namespace mome {

struct LifelineOptions {
  double heartbeat_seconds = 2, silent_seconds = 20, stall_seconds = 45;
  double connect_seconds = 60;  // for all ranks to come together at the start
  std::function<void()>
      abort;  // called before the process ends (open.h: abort_hook); it is given two seconds
};

class Lifeline {
 public:
  /// All ranks make theirs together. Rank 0 tells all its addresses through the communicator, and
  /// they take the first that they can reach; where MOME_LIFELINE_ADDR is set, that one alone.
  /// Error where ranks do not come together. One rank: nothing is watched.
  explicit Lifeline(Communicator& communicator, const LifelineOptions& options = {});
  /// `from_rank_0` brings rank 0's text to all ranks.
  Lifeline(int rank, int size, const std::function<std::string(const std::string&)>& from_rank_0,
           const LifelineOptions& options);
  /// Says goodbye. Not while an exception is on its way: then this rank counts as died.
  ~Lifeline();
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;

  /// The main thread begins this step, or has come further within it.
  void tick(int64_t step);

  /// What the main thread does while the object lives. Null: nothing is watched.
  class Phase {
   public:
    Phase(Lifeline* lifeline, Doing doing);
    ~Phase();
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    Lifeline* lifeline_;
    Doing before_ = Doing::kComputing;
  };
  /// In a collective call, or in a wait for one.
  struct Waiting : Phase {
    explicit Waiting(Lifeline* lifeline) : Phase(lifeline, Doing::kWaiting) {}
  };
  /// In something that may take long while others wait: saving, opening data.
  struct Unhurried : Phase {
    explicit Unhurried(Lifeline* lifeline) : Phase(lifeline, Doing::kUnhurried) {}
  };

  /// This rank cannot go on: all ranks print this reason and end. Does not return.
  [[noreturn]] void give_up(const std::string& why);

 private:
  class Star;
  class Center;
  class Ray;
  void run();
  Heartbeat beat() const { return {step_, progress_, doing_}; }

  LifelineOptions options_;
  std::atomic<int64_t> step_ = 0;
  std::atomic<uint64_t> progress_ = 0;
  std::atomic<Doing> doing_ = Doing::kComputing;
  std::atomic<bool> stop_ = false, gives_up_ = false;
  std::string why_;  // written before gives_up_
  std::unique_ptr<Star> star_;
  std::thread thread_;
};

}  // namespace mome
