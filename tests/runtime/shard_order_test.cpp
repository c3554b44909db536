// The order of samples that are read shard by shard.
#include "runtime/data/shard_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace mome {
namespace {

// Shards of 5 to 11 records.
std::vector<int32_t> begins(int shards) {
  std::vector<int32_t> out = {0};
  for (int i = 0; i < shards; ++i) out.push_back(out.back() + 5 + i * 3 % 7);
  return out;
}

int32_t shard_of(const std::vector<int32_t>& begin, int32_t record) {
  return int32_t(std::upper_bound(begin.begin(), begin.end(), record) - begin.begin()) - 1;
}

TEST(ShardOrder, EverySampleOnceAnEpoch) {
  const auto begin = begins(40);
  const int n = begin.back();
  const ShardOrder order(begin, {.global_batch = 12, .lanes = 4, .window = 3, .seed = 5});
  EXPECT_EQ(order.lanes(), 4);
  std::map<std::pair<uint64_t, int32_t>, int> seen;
  for (int64_t g = 0; g < 5 * n; ++g) {
    const auto [epoch, record] = order.at(g);
    ASSERT_TRUE(record >= 0 && record < n);
    ++seen[{epoch, record}];
  }
  std::map<uint64_t, int> of_epoch;
  for (const auto& [sample, count] : seen) {
    EXPECT_EQ(count, 1) << sample.first << " " << sample.second;
    ++of_epoch[sample.first];
  }
  // Lanes are in hands of their own, so an epoch is whole once all have left it.
  for (uint64_t epoch = 0; epoch < 4; ++epoch) EXPECT_EQ(of_epoch[epoch], n) << epoch;
}

TEST(ShardOrder, SameFromAnywhereAndAnotherForAnotherSeed) {
  const auto begin = begins(23);
  const ShardOrder::Options options{.global_batch = 8, .lanes = 8, .window = 2, .seed = 1};
  const ShardOrder order(begin, options);
  EXPECT_EQ(order.lanes(), 8);
  std::vector<std::pair<uint64_t, int32_t>> expected;
  for (int64_t g = 0; g < 1000; ++g) {
    const auto s = order.at(g);
    expected.push_back({s.epoch, s.record});
  }
  const ShardOrder resumed(begin, options);
  for (const int64_t g : {999, 3, 500, 501, 0, 998}) {
    const auto s = resumed.at(g);
    EXPECT_EQ(std::pair(s.epoch, s.record), expected[size_t(g)]);
  }
  ShardOrder::Options other = options;
  other.seed = 2;
  const ShardOrder reseeded(begin, other);
  int same = 0;
  for (int64_t g = 0; g < 1000; ++g) same += reseeded.at(g).record == expected[size_t(g)].second;
  EXPECT_LT(same, 100);
  // The second epoch is not the first again.
  std::vector<int32_t> first, second;
  for (const auto& [epoch, record] : expected) (epoch == 0 ? first : second).push_back(record);
  second.resize(std::min(first.size(), second.size()));
  first.resize(second.size());
  EXPECT_NE(first, second);
}

TEST(ShardOrder, SamplesOfAHandAreMixed) {
  // One lane, hands of three shards of 50: neighbours are seldom of one shard in a row.
  std::vector<int32_t> begin;
  for (int i = 0; i <= 30; ++i) begin.push_back(i * 50);
  const ShardOrder order(begin, {.global_batch = 10, .lanes = 1, .window = 3, .seed = 3});
  int switches = 0;
  for (int64_t g = 0; g < 1500; ++g) {
    std::set<int32_t> hand;
    if (g % 150 == 0) {
      for (int64_t i = g; i < g + 150; ++i) hand.insert(shard_of(begin, order.at(i).record));
      EXPECT_EQ(hand.size(), 3u);
    }
    if (g > 0) {
      switches += shard_of(begin, order.at(g).record) != shard_of(begin, order.at(g - 1).record);
    }
  }
  EXPECT_NEAR(switches, 1000, 100);  // 2 of 3 neighbours differ; over five standard deviations
}

// A rank meets the shards of its lanes alone, and is told of each before it comes.
TEST(ShardOrder, RanksShareTheShardsAndAreToldAhead) {
  const auto begin = begins(64);
  const ShardOrder::Options options{.global_batch = 16, .lanes = 4, .window = 2, .seed = 9};
  const int n = begin.back();
  std::map<std::pair<uint64_t, int32_t>, std::set<int>> readers;
  for (int rank = 0; rank < 4; ++rank) {
    std::multiset<int32_t> told;
    const ShardOrder order(begin, options, [&](int32_t shard) { told.insert(shard); });
    EXPECT_EQ(order.open_shards(rank * 4, 4), 2);
    std::set<std::pair<uint64_t, int32_t>> met;
    for (int64_t step = 0; step < n / 16; ++step)
      for (int i = 0; i < 4; ++i) {
        const auto [epoch, record] = order.at(step * 16 + rank * 4 + i);
        const int32_t shard = shard_of(begin, record);
        readers[{epoch, shard}].insert(rank);
        const bool first = met.insert({epoch, shard}).second;
        if (first && met.size() > 2) {  // not of the lane's first hand
          EXPECT_EQ(told.count(shard), 1u);
          told.erase(shard);
        }
      }
    EXPECT_LE(told.size(), 3u);  // no more than the next hand is fetched in vain
  }
  for (const auto& [shard, ranks] : readers) EXPECT_EQ(ranks.size(), 1u);
  const ShardOrder order(begin, options);
  EXPECT_EQ(order.open_shards(0, 16), 8);
  EXPECT_EQ(order.open_shards(3, 2), 4);
}

TEST(ShardOrder, FewShardsAndOddBatches) {
  // Lanes divide the batch, and there are hands enough for each.
  EXPECT_EQ(ShardOrder(begins(64), {.global_batch = 10, .lanes = 8, .window = 2}).lanes(), 5);
  EXPECT_EQ(ShardOrder(begins(64), {.global_batch = 7, .lanes = 4, .window = 2}).lanes(), 1);
  EXPECT_EQ(ShardOrder(begins(3), {.global_batch = 8, .lanes = 8, .window = 2}).lanes(), 1);
  const ShardOrder one(begins(1), {.global_batch = 4, .lanes = 8, .window = 2});
  std::map<uint64_t, std::set<int32_t>> seen;
  for (int64_t g = 0; g < 40; ++g)
    EXPECT_TRUE(seen[one.at(g).epoch].insert(one.at(g).record).second);
  EXPECT_EQ(seen[0].size(), 5u);
}

}  // namespace
}  // namespace mome
