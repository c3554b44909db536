#include "runtime/data/loader_order.h"

#include <algorithm>
#include <utility>

#include "runtime/data/shard_order.h"

namespace mome {
namespace {

// Of two records that follow one another.
bool same_shard(const ImageRef& a, const ImageRef& b) {
  const bool files = a.member.empty() && b.member.empty();
  return files || (!a.member.empty() && !b.member.empty() && a.file == b.file);
}

}  // namespace

std::vector<PipedShards*> pools_of(const Dataset& dataset) {
  std::vector<PipedShards*> pools;
  const PipedShard* last = nullptr;
  for (const Record& record : dataset.records) {
    const PipedShard* shard = record.image.shard.get();
    if (!shard || shard == last) continue;
    last = shard;
    if (std::find(pools.begin(), pools.end(), &shard->pool()) == pools.end())
      pools.push_back(&shard->pool());
  }
  return pools;
}

std::unique_ptr<const Order> make_order(const Dataset& dataset, const LoaderOptions& options) {
  const std::vector<PipedShards*> pools = pools_of(dataset);
  const std::vector<Record>& records = dataset.records;
  if (pools.empty()) return std::make_unique<SampleOrder>(int64_t(records.size()), options.seed);
  std::vector<int32_t> begin = {0};
  std::vector<const PipedShard*> shards = {records[0].image.shard.get()};
  for (size_t i = 1; i < records.size(); ++i) {
    if (same_shard(records[i - 1].image, records[i].image)) continue;
    begin.push_back(int32_t(i));
    shards.push_back(records[i].image.shard.get());
  }
  begin.push_back(int32_t(records.size()));
  ShardOrder::Ahead ahead;
  if (options.images) {
    ahead = [shards = std::move(shards)](int32_t number) {
      if (const PipedShard* shard = shards[size_t(number)]) shard->pool().fetch_ahead(*shard);
    };
  }
  auto order = std::make_unique<ShardOrder>(
      std::move(begin),
      ShardOrder::Options{options.global_batch == 0 ? options.batch : options.global_batch,
                          options.shard_lanes, options.shard_window, options.seed},
      std::move(ahead));
  // A hand in use and one to come for each lane.
  for (PipedShards* pool : pools)
    pool->keep_at_least(2 * order->open_shards(options.first, options.batch));
  return order;
}

}  // namespace mome
