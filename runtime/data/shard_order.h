// The order of samples that are read shard by shard, for sources whose shards cannot be open all at
// once: the role that webdataset's shuffle of shards and its shuffle buffer have there.
//
// The global batch is cut into L equal lanes. Shards are permuted anew each epoch; from this
// endless deck each lane takes a hand of W shards whenever it has used up its last one (the lane
// that is least far first), and goes through the samples of its hand in a random order. So every
// sample is seen once an epoch, no lane waits for another, and a rank meets only the shards of
// those lanes that its share of the global batch lies in: about 1/R of all with R <= L ranks. Which
// shard a sample is from depends on (sizes of the shards, seed, L, W, global batch) and not on R.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/data/order.h"

namespace mome {

class ShardOrder : public Order {
 public:
  struct Options {
    int64_t global_batch = 1;
    int lanes = 8;   // at most; fewer if they do not divide the global batch or shards are few
    int window = 2;  // W, shards of a hand
    uint64_t seed = 0;
  };
  /// Told of a shard that the lane of a sample asked for will come to next, once for each time.
  using Ahead = std::function<void(int32_t shard)>;

  /// begin[i] is the first record of shard i, [begin[i], begin[i + 1]) are its records; at least
  /// one shard, none empty. `ahead` may be empty; it is called with a lock held.
  ShardOrder(std::vector<int32_t> begin, const Options& options, Ahead ahead = nullptr);

  Sample at(int64_t g) const override;

  int lanes() const { return lanes_; }
  /// Shards that `batch` samples from `first` of the global batch on are drawn from at once.
  int open_shards(int first, int batch) const;

 private:
  struct Dealt {
    uint64_t epoch;
    int32_t shard;
  };
  struct Hand {
    int64_t begin, end;  // samples of the lane
    std::vector<Dealt> shards;
  };
  struct Lane {
    std::vector<Hand> hands;
    std::map<size_t, std::vector<int32_t>> orders;  // of the hands that are drawn from now
    std::map<size_t, size_t> told;                  // hand -> how many of its shards `ahead` knows
  };

  int64_t size(int32_t shard) const { return begin_[shard + 1] - begin_[shard]; }
  void deal() const;
  const std::vector<int32_t>& order_of(int lane, size_t hand) const;
  void tell(Lane& lane, size_t hand, size_t shards) const;

  const std::vector<int32_t> begin_;
  const Options options_;
  const Ahead ahead_;
  const int lanes_;
  mutable std::mutex mutex_;
  mutable std::vector<Lane> hands_;  // [lanes]
  mutable uint64_t dealt_ = 0;       // shards off the deck
  mutable uint64_t deck_epoch_ = 0;
  mutable std::vector<int32_t> deck_;
};

}  // namespace mome
