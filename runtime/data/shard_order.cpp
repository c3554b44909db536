#include "runtime/data/shard_order.h"

#include <algorithm>
#include <utility>

#include "runtime/core/error.h"

namespace mome {
namespace {

// Lanes are to be of one size, and to have a good number of hands an epoch: the last ones of an
// epoch are dealt while other lanes are still at their last but one.
int lane_count(const ShardOrder::Options& o, int64_t shards) {
  int64_t most = std::min<int64_t>(o.lanes, std::max<int64_t>(1, shards / o.window));
  while (o.global_batch % most != 0) --most;
  return int(most);
}

}  // namespace

ShardOrder::ShardOrder(std::vector<int32_t> begin, const Options& options, Ahead ahead)
    : begin_(std::move(begin)),
      options_(options),
      ahead_(std::move(ahead)),
      lanes_(lane_count(options, int64_t(begin_.size()) - 1)),
      hands_(lanes_) {
  MOME_CHECK(options.global_batch >= 1 && options.lanes >= 1 && options.window >= 1);
  MOME_CHECK(begin_.size() >= 2);
  for (size_t i = 0; i + 1 < begin_.size(); ++i) MOME_CHECK(begin_[i] < begin_[i + 1]);
}

int ShardOrder::open_shards(int first, int batch) const {
  const int64_t share = options_.global_batch / lanes_;
  return int((first + batch - 1) / share - first / share + 1) * options_.window;
}

// One hand to the lane that is least far.
void ShardOrder::deal() const {
  const auto end = [](const Lane& lane) { return lane.hands.empty() ? 0 : lane.hands.back().end; };
  const auto lane = std::min_element(hands_.begin(), hands_.end(),
                                     [&](const Lane& a, const Lane& b) { return end(a) < end(b); });
  Hand hand{end(*lane), end(*lane), {}};
  const uint64_t shards = begin_.size() - 1;
  for (int i = 0; i < options_.window; ++i, ++dealt_) {
    const uint64_t epoch = dealt_ / shards;
    if (deck_.empty() || deck_epoch_ != epoch) {
      deck_ = permutation(int64_t(shards), options_.seed, epoch);
      deck_epoch_ = epoch;
    }
    hand.shards.push_back({epoch, deck_[dealt_ % shards]});
    hand.end += size(hand.shards.back().shard);
  }
  lane->hands.push_back(std::move(hand));
}

const std::vector<int32_t>& ShardOrder::order_of(int lane, size_t hand) const {
  auto& orders = hands_[lane].orders;
  const auto known = orders.find(hand);
  if (known != orders.end()) return known->second;
  // Samples are asked for nearly in order; an early hand that is asked for again is made again.
  constexpr size_t kKept = 3;
  while (orders.size() >= kKept) orders.erase(orders.begin());
  const Hand& h = hands_[lane].hands[hand];
  // Stream 0 of every step is a permutation of the shards; these are of one number a lane and hand.
  RandomStream random(options_.seed, hand, Purpose::kOrder, uint64_t(lane) + 1);
  return orders.emplace(hand, permutation(h.end - h.begin, random)).first->second;
}

void ShardOrder::tell(Lane& lane, size_t hand, size_t shards) const {
  const auto [told, fresh] = lane.told.emplace(hand, 0);
  while (told->second < shards) ahead_(lane.hands[hand].shards[told->second++].shard);
  constexpr size_t kKept = 4;
  while (lane.told.size() > kKept) lane.told.erase(lane.told.begin());
}

Order::Sample ShardOrder::at(int64_t g) const {
  const int64_t share = options_.global_batch / lanes_;
  const int64_t step = g / options_.global_batch, place = g % options_.global_batch;
  const int number = int(place / share);
  const int64_t t = step * share + place % share;  // which sample of the lane
  const std::lock_guard lock(mutex_);
  Lane& lane = hands_[number];
  while (lane.hands.empty() || lane.hands.back().end <= t) deal();
  const auto hand = std::upper_bound(lane.hands.begin(), lane.hands.end(), t,
                                     [](int64_t sample, const Hand& h) { return sample < h.end; });
  const size_t index = size_t(hand - lane.hands.begin());
  const int64_t count = hand->end - hand->begin;
  const int64_t within = t - hand->begin;
  int64_t i = order_of(number, index)[size_t(within)];
  size_t of = 0;
  while (i >= size(hand->shards[of].shard)) i -= size(hand->shards[of++].shard);
  const Dealt dealt = hand->shards[of];
  const Sample sample{dealt.epoch, int32_t(begin_[dealt.shard] + i)};
  if (ahead_) {
    // The next hand comes shard by shard while this one is used up, all of it before this one's
    // end.
    const size_t soon =
        size_t(std::min<int64_t>((within + 1) * (options_.window + 1) / count, options_.window));
    while (lane.hands.size() <= index + 1) deal();
    tell(hands_[number], index + 1, soon);
  }
  return sample;
}

}  // namespace mome
