// Data parallelism: the gradients of all ranks become their sum, in buckets, beside the backward pass that still makes the
// rest of them (PyTorch DDP, Li et al. 2020, section 3.2); with ZeRO-1 (Rajbhandari et al. 2020, section 5.1) a rank gets the
// sum of its shard only, steps that shard, and the new values are gathered beside the next forward pass.
//
// A bucket is a slice of the flat arena that holds trained parameters. Buckets go out from the arena's end to its beginning,
// which is about the order in which backward finishes, and in that fixed order on every rank, whatever a rank has in its batch.
//
// Traffic a rank and step, of n trained parameters and W ranks: all-reduce 2 (W-1)/W 4n bytes; ZeRO-1 the same in two halves.
#pragma once
#include <memory>
#include <vector>

#include "runtime/comm/lane.h"
#include "runtime/optim/parameters.h"

namespace mome {

struct GradientSyncOptions {
  int64_t bucket_bytes = 25 << 20;
  bool shard = false;  // ZeRO-1
};

/// Elements [begin, end) of the arenas.
struct ArenaRange {
  int64_t begin = 0, end = 0;
  bool operator==(const ArenaRange&) const = default;
};

class GradientSync {
 public:
  /// Which parameters are trained is settled. Both outlive this. While it lives, a sharded set's parameters wait for their
  /// values when a tape reads them (ParameterSet::on).
  GradientSync(ParameterSet& parameters, Communicator& communicator, const GradientSyncOptions& options);
  ~GradientSync();

  /// The tape's backward is the last of this step: buckets go out as soon as nothing of it will add to them.
  void reduce_during(Tape& tape);
  /// All buckets are out, and the device's later work sees the sums.
  void finish();

  /// What this rank steps: all trained ranges, or its shards of them.
  const std::vector<ArenaRange>& owned() const { return owned_; }
  bool sharded() const { return options_.shard; }
  /// Sharded: a partition of all elements over ranks, ascending: owned(), and on rank 0 what is not in any bucket.
  std::vector<ArenaRange> shard() const;
  /// Sharded: of an arena of the parameters' (the moving average), every rank's owned elements go to all.
  void gather(void* arena);
  Communicator& communicator() const { return communicator_; }
  /// Sharded: after the step of the shards, their values go to all ranks. They are there for tapes at once, for others after
  /// settle().
  void gather_values();
  void settle();

  /// Since the last call of this: seconds that the exchange took and that the step waited for it.
  Lane::Seconds seconds() { return lane_.seconds(); }

 private:
  struct Bucket {
    int64_t begin = 0, end = 0;
    std::vector<int> parameters;
    uint64_t gathered = 0;  // ticket of its values
    bool pending = false;   // its values are on their way
  };
  void post(const Bucket& bucket);
  void receive(Bucket& bucket);

  ParameterSet& parameters_;
  Communicator& communicator_;
  GradientSyncOptions options_;
  std::vector<Bucket> buckets_;      // ascending
  std::vector<ArenaRange> owned_;
  std::vector<std::vector<int>> buckets_of_;  // of each parameter
  size_t left_ = 0;                  // buckets [0, left_) are not out yet
  bool gathering_ = false;
  Lane lane_;
};

}  // namespace mome
