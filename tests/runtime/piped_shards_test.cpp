// Shards that commands print: names, indexes, failures, and how many are kept.
#include "runtime/data/piped_shards.h"

#include <chrono>
#include <thread>

#include "runtime/data/dataset.h"
#include "runtime/data/eval_reader.h"
#include "runtime/data/loader.h"
#include "runtime/data/shards.h"
#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

using Strings = std::vector<std::string>;

TEST(ShardNames, Pipes) {
  EXPECT_EQ(expand_shards("pipe:aws s3 cp s3://b/{08..10}.tar -"),
            (Strings{"pipe:aws s3 cp s3://b/08.tar -", "pipe:aws s3 cp s3://b/09.tar -",
                     "pipe:aws s3 cp s3://b/10.tar -"}));
  EXPECT_EQ(expand_shards("a-{0..1}.tar,b.tar::pipe:cat {x,y}.tar | tee a,b::c.tar"),
            (Strings{"a-0.tar", "a-1.tar", "b.tar", "pipe:cat x.tar | tee a,b",
                     "pipe:cat y.tar | tee a,b", "c.tar"}));
  // The shell's own braces.
  EXPECT_EQ(expand_shards("pipe:cat ${HOME}/{0..1}.tar | awk '{print $1, $2} {x}' }{"),
            (Strings{"pipe:cat ${HOME}/0.tar | awk '{print $1, $2} {x}' }{",
                     "pipe:cat ${HOME}/1.tar | awk '{print $1, $2} {x}' }{"}));
  EXPECT_TRUE(is_shard_source("pipe:cat x") && is_shard_source("a.tar::b.tar"));
  EXPECT_FALSE(is_shard_source("a.jsonl") || is_shard_source("folder"));
  expect_in(error_of([] { expand_shards("pipe: "); }), {"no command"});
  expect_in(error_of([] { expand_shards("a.tar,pipe:cat b"); }), {"pipe:cat b", "::"});
  expect_in(error_of([] { expand_shards("a.tar::"); }), {"no name of a .tar file"});
  expect_in(error_of([] { expand_shards("pipe:cat {9..1}"); }), {"two rising numbers"});
}

class PipedShardsTest : public ::testing::Test {
 protected:
  // Shard i has the pictures 10 i to 10 i + count - 1.
  void write_shard(int i, int count) {
    TarWriter tar(shard_file(i));
    for (int k = 0; k < count; ++k) {
      tar.add(fmt::format("{}.png", 10 * i + k), numbered_png(10 * i + k));
      tar.add(fmt::format("{}.txt", 10 * i + k), fmt::format("text {}\xFF", 10 * i + k));
    }
    tar.finish();
  }
  std::string shard_file(int i) const { return folder_ / fmt::format("s{}.tar", i); }
  // The number of times that the command `counted` of the shard was run.
  int64_t runs(int i) const {
    std::error_code none;
    const auto size = std::filesystem::file_size(folder_ / fmt::format("runs{}", i), none);
    return none ? 0 : int64_t(size);
  }
  std::string counted(int i) const {
    return fmt::format("pipe:printf . >> {0}/runs{1}; cat {0}/s{1}.tar", folder_.path(), i);
  }
  DatasetOptions cached() const {
    DatasetOptions options;
    options.index_cache = folder_ / "cache";
    return options;
  }
  static EvalOptions pictures_of_16() {
    EvalOptions options;
    options.image_size = 16;
    return options;
  }
  std::string error(const std::string& source, DatasetOptions options = {}) const {
    return error_of([&] { open_dataset(source, "", options); });
  }
  void expect_pictures(const Dataset& dataset) {
    EvalReader reader(dataset, nullptr, pictures_of_16());
    const Batch batch = reader.images(all_records(dataset));
    ASSERT_EQ(size_t(batch.size), dataset.records.size());
    RandomStream unused(0, 0, Purpose::kAugment, 0);
    for (int i = 0; i < batch.size; ++i) {
      const auto expected =
          augment(numbered_image(std::stoi(dataset.records[i].key)), 16, {}, unused).pixels;
      EXPECT_TRUE(
          std::equal(expected.begin(), expected.end(), batch.images.begin() + i * 16 * 16 * 3));
    }
  }

  TemporaryFolder folder_;
};

TEST_F(PipedShardsTest, AreReadAsFilesAre) {
  for (int i = 0; i < 3; ++i) write_shard(i, 2 + i);
  const Dataset files = open_dataset(folder_ / "s{0..2}.tar", "", {});
  const Dataset pipes =
      open_dataset("pipe:cat " + (folder_ / "s{0..1}.tar") + "::" + shard_file(2), "", {});
  ASSERT_EQ(pipes.records.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(pipes.records[i].key, files.records[i].key);
    EXPECT_EQ(pipes.records[i].captions, files.records[i].captions);
    EXPECT_EQ(pipes.records[i].image.offset, files.records[i].image.offset);
    EXPECT_EQ(bool(pipes.records[i].image.shard), i < 5);
  }
  EXPECT_NE(pipes.records[0].image_id, pipes.records[1].image_id);
  expect_pictures(pipes);
}

TEST_F(PipedShardsTest, TheIndexIsMadeOnce) {
  for (int i = 0; i < 2; ++i) write_shard(i, 3);
  const Dataset first = open_dataset(counted(0) + "::" + counted(1), "", cached());
  EXPECT_EQ(runs(0), 1);
  const Dataset second = open_dataset(counted(0) + "::" + counted(1), "", cached());
  EXPECT_EQ(runs(0), 1);
  ASSERT_EQ(second.records.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(second.records[i].captions, first.records[i].captions);  // invalid UTF-8 and all
    EXPECT_EQ(second.records[i].image_id, first.records[i].image_id);
  }
  expect_pictures(second);
  EXPECT_EQ(runs(0), 2);
  EXPECT_EQ(runs(1), 2);
  // A damaged index is made anew.
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache"))
    if (entry.path().extension() == ".index")
      std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) / 2);
  EXPECT_EQ(open_dataset(counted(0) + "::" + counted(1), "", cached()).records.size(), 6u);
  EXPECT_EQ(runs(0), 3);
  EXPECT_EQ(open_dataset(counted(0) + "::" + counted(1), "", {}).records.size(), 6u);
  EXPECT_EQ(runs(0), 4);  // no folder: nothing is kept
}

// Ranks that start at once run each command once between them.
TEST_F(PipedShardsTest, StartsAtOnceShareTheWork) {
  std::string source;
  for (int i = 0; i < 3; ++i) {
    write_shard(i, 2);
    source += (i == 0 ? "" : "::") + counted(i) + "; sleep 0.05";
  }
  std::vector<std::thread> ranks;
  std::vector<size_t> records(3);
  for (size_t rank = 0; rank < records.size(); ++rank) {
    ranks.emplace_back(
        [&, rank] { records[rank] = open_dataset(source, "", cached()).records.size(); });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(records, (std::vector<size_t>{6, 6, 6}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(runs(i), 1);
}

TEST_F(PipedShardsTest, FailuresAreRetriedThenNamed) {
  write_shard(0, 2);
  const std::string bad =
      fmt::format("pipe:printf . >> {}/runs0; echo first >&2; echo the bucket is gone >&2; exit 3",
                  folder_.path());
  expect_in(error(bad), {bad, "failed 3 times", "exit status 3", "\n    the bucket is gone"});
  EXPECT_EQ(runs(0), 3);
  DatasetOptions none;
  none.retries = 0;
  expect_in(error("pipe:kill -9 $$", none), {"failed 1 time:", "killed by signal 9"});
  // All that fail are told at once.
  const std::string both = error("pipe:exit {1..2}::" + shard_file(0), none);
  expect_in(both, {"2 of 3 shards", "pipe:exit 1", "exit status 1", "pipe:exit 2"});
  // One that works the second time.
  const Dataset dataset = open_dataset(
      fmt::format("pipe:test -e {0}/again || {{ touch {0}/again; exit 1; }}; cat {0}/s0.tar",
                  folder_.path()),
      "", {});
  EXPECT_EQ(dataset.records.size(), 2u);
}

TEST_F(PipedShardsTest, CutStreamsAreNamedWithTheirOffset) {
  write_shard(0, 2);
  DatasetOptions options;
  options.retries = 1;
  const auto cut = [&](int bytes) {
    return error(fmt::format("pipe:head -c {} {}", bytes, shard_file(0)), options);
  };
  expect_in(cut(700), {"head -c 700", "failed 2 times", "truncated: ends at byte 700"});
  expect_in(cut(0), {"truncated", "byte 0"});
  expect_in(error("pipe:head -c 2000 /dev/zero | tr '\\0' x", options),
            {"offset 0: no tar header"});
  // A pipeline's status is that of its last command; the missing rest shows all the same.
  expect_in(error("pipe:cat /no/such/file | cat", options), {"truncated"});
}

TEST_F(PipedShardsTest, SlowStreamsAreWaitedFor) {
  write_shard(0, 3);
  const Dataset dataset = open_dataset(
      fmt::format("pipe:head -c 1000 {0}; sleep 0.2; tail -c +1001 {0}", shard_file(0)), "", {});
  EXPECT_EQ(dataset.records.size(), 3u);
  expect_pictures(dataset);
}

TEST_F(PipedShardsTest, AShardThatChangedIsRefused) {
  write_shard(0, 3);
  open_dataset(counted(0), "", cached());
  write_shard(0, 5);
  const Dataset dataset = open_dataset(counted(0), "", cached());
  EXPECT_EQ(dataset.records.size(), 3u);
  EvalReader reader(dataset, nullptr, pictures_of_16());
  // Not a bad picture or two: the run ends.
  expect_in(error_of([&] { reader.images(all_records(dataset)); }),
            {"failed 3 times", "when its index was made"});
}

TEST_F(PipedShardsTest, OnlySoManyAreOnDisk) {
  PipedShards::Options two;
  two.kept = 2;
  const auto pool = std::make_shared<PipedShards>(two);
  std::vector<std::shared_ptr<PipedShard>> shards;
  for (int i = 0; i < 3; ++i) {
    write_shard(i, 1);
    shards.push_back(pool->add("pipe:cat " + shard_file(i)));
  }
  for (const int i : {0, 1, 0, 0, 1}) shards[i]->open();
  EXPECT_EQ(pool->runs(), 2);
  const auto held = shards[0]->open();
  shards[2]->open();  // 1 goes
  shards[0]->open();
  EXPECT_EQ(pool->runs(), 3);
  shards[1]->open();  // 2 goes, then 0
  shards[2]->open();
  EXPECT_EQ(pool->runs(), 5);
  char byte = 0;
  held->read(0, 1, &byte);  // a reader's file stays
  EXPECT_EQ(byte, '0');
  pool->keep_at_least(3);
  for (const int i : {0, 1, 2, 0, 1, 2}) shards[i]->open();
  EXPECT_EQ(pool->runs(), 6);
}

TEST_F(PipedShardsTest, ThreadsShareARun) {
  write_shard(0, 1);
  const auto pool = std::make_shared<PipedShards>(PipedShards::Options{});
  const auto shard = pool->add("pipe:sleep 0.1; cat " + shard_file(0));
  pool->fetch_ahead(*shard);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { shard->open(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool->runs(), 1);
}

TEST_F(PipedShardsTest, InterruptionKillsCommands) {
  const auto pool = std::make_shared<PipedShards>(PipedShards::Options{});
  const auto shard = pool->add("pipe:sleep 60 | cat");
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  std::thread reader([&] { message = error_of([&] { shard->open(); }); });
  while (pool->runs() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  {
    const PipedShards::Interruption kill(*pool);
    reader.join();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  expect_in(message, {"sleep 60", "stopped"});
}

}  // namespace
}  // namespace mome
