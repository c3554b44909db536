// Training from piped shards: the same batches for any number of ranks, threads and restarts, each
// rank running the commands of its own lanes alone.
#include <chrono>
#include <map>
#include <set>

#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/data/piped_shards.h"
#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

constexpr int kShards = 12, kPictures = 4, kGlobal = 8;

class LoaderPipes : public ::testing::Test {
 protected:
  LoaderPipes() {
    for (int i = 0; i < kShards; ++i) {
      TarWriter tar(folder_ / fmt::format("s{}.tar", i));
      for (int k = 0; k < kPictures; ++k) {
        tar.add(fmt::format("{}.png", kPictures * i + k), numbered_png(kPictures * i + k));
        tar.add(fmt::format("{}.txt", kPictures * i + k), "a b c");
      }
      tar.finish();
    }
    options_.index_cache = folder_ / "cache";
    make_counters("first");
    open();  // the index
  }
  // Commands write one byte a run into the folder that `runs` is a link to.
  void make_counters(const std::string& name) {
    const std::string link = folder_ / "runs";
    std::filesystem::create_directories(folder_ / name);
    std::filesystem::remove(link);
    std::filesystem::create_directory_symlink(folder_ / name, link);
  }
  std::map<int, int> counts() const {
    std::map<int, int> out;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "runs"))
      out[std::stoi(entry.path().filename().string())] = int(entry.file_size());
    return out;
  }
  Dataset open() const {
    std::string source;
    for (int i = 0; i < kShards; ++i) {
      source += fmt::format("{0}pipe:printf . >> {1}/runs/{2}; cat {1}/s{2}.tar",
                            i == 0 ? "" : "::", folder_.path(), i);
    }
    return open_dataset(source, "", options_);
  }
  static LoaderOptions loader(int first, int batch, int threads = 2) {
    LoaderOptions o;
    o.batch = batch;
    o.global_batch = kGlobal;
    o.first = first;
    o.image_size = 8;
    o.text_length = 8;
    o.seed = 3;
    o.threads = threads;
    o.augmentation.kind = "vlmo";
    o.cache_mib = 0;
    o.shard_lanes = 4;
    o.shard_window = 1;
    return o;
  }
  std::vector<Batch> batches(const LoaderOptions& o, int64_t first_step, int count) {
    const Dataset dataset = open();
    PairLoader loader(dataset, &vocabulary_, o, first_step);
    std::vector<Batch> out;
    for (int i = 0; i < count; ++i) out.push_back(loader.next());
    return out;
  }

  TemporaryFolder folder_;
  DatasetOptions options_;
  const WordPiece vocabulary_ = letter_vocabulary();
};

TEST_F(LoaderPipes, RanksThreadsAndRestartsChangeNothing) {
  constexpr int kSteps = 2 * kShards * kPictures / kGlobal;
  const auto expected = batches(loader(0, kGlobal), 0, kSteps);
  std::map<int32_t, int> seen;
  for (const Batch& batch : expected)
    for (const int32_t record : batch.records) ++seen[record];
  EXPECT_EQ(seen.size(), size_t(kShards * kPictures));
  for (const auto& [record, count] : seen) EXPECT_EQ(count, 2) << record;  // two epochs

  const auto resumed = batches(loader(0, kGlobal, 1), 5, kSteps - 5);
  for (int i = 5; i < kSteps; ++i) {
    EXPECT_EQ(resumed[i - 5].images, expected[i].images);
    EXPECT_EQ(resumed[i - 5].records, expected[i].records);
  }
  for (const int ranks : {2, 4, 8}) {
    std::vector<std::vector<uint8_t>> joined(kSteps);
    for (int rank = 0; rank < ranks; ++rank) {
      const int share = kGlobal / ranks;
      const auto part = batches(loader(rank * share, share), 0, kSteps);
      for (int i = 0; i < kSteps; ++i)
        joined[i].insert(joined[i].end(), part[i].images.begin(), part[i].images.end());
    }
    for (int i = 0; i < kSteps; ++i) EXPECT_EQ(joined[i], expected[i].images) << ranks;
  }
}

TEST_F(LoaderPipes, ARankRunsOnlyItsOwnCommands) {
  // An epoch, less the last hand, after which the next epoch's shards are fetched already.
  constexpr int kSteps = (kShards - 4) * kPictures / kGlobal;
  std::map<int, int> all;
  for (int rank = 0; rank < 4; ++rank) {
    make_counters(fmt::format("rank{}", rank));
    batches(loader(rank * 2, 2), 0, kSteps);
    const auto mine = counts();
    // Two hands of one shard used, the third one at hand or on its way, a fourth at most.
    EXPECT_LE(mine.size(), 4u);
    for (const auto& [shard, runs] : mine) {
      EXPECT_EQ(runs, 1) << shard;
      ++all[shard];
    }
  }
  EXPECT_GE(all.size(), size_t(kShards - 4));
}

TEST_F(LoaderPipes, AShardThatIsLostEndsTheRun) {
  const Dataset dataset = open();
  for (int i = 0; i < kShards; ++i) std::filesystem::remove(folder_ / fmt::format("s{}.tar", i));
  LoaderOptions o = loader(0, kGlobal);
  o.max_bad = 1;  // of pictures: a lost shard is another matter
  PairLoader loader(dataset, &vocabulary_, o, 0);
  expect_in(error_of([&] { loader.next(); }), {"pipe:printf", "failed 3 times", "exit status 1"});
}

TEST_F(LoaderPipes, GivingUpDoesNotWaitForACommand) {
  Dataset dataset = open();
  for (const Record& record : dataset.records) ASSERT_TRUE(record.image.shard);
  // The index is known, the command now hangs.
  std::filesystem::remove(folder_ / "runs");
  ASSERT_EQ(::system(fmt::format("mkfifo {0}/fifo; mkdir {0}/runs; for i in 0 1 2 3 4 5 6 7 8 9 10 "
                                 "11; do ln -s ../fifo {0}/runs/$i; done",
                                 folder_.path())
                         .c_str()),
            0);
  const auto start = std::chrono::steady_clock::now();
  {
    PairLoader loader(dataset, &vocabulary_, this->loader(0, kGlobal), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace mome
