// Writing in the background: what is written is what the model held, and who hears of an error.
#include "models/stages/saver.h"

#include <array>
#include <barrier>
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/models/resume_points.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using SaverTest = ResumePoints;

TEST_F(SaverTest, TheModelMayChangeWhileItsSnapshotIsWritten) {
  const auto a = filled(1), want = filled(1), b = empty_model();
  Saver saver(folder_.path(), {2});
  for (const int64_t step : {10, 20, 30}) {
    saver.save(*a, point(step));
    std::memset(a->parameters().values(), 0x7f, size_t(a->parameters().count()) * 4);
    std::memset(a->parameters().moments1(), 0x7f, size_t(a->parameters().count()) * 4);
    if (step < 30)
      std::memcpy(a->parameters().values(), want->parameters().values(),
                  size_t(a->parameters().count()) * 4);
    if (step < 30)
      std::memcpy(a->parameters().moments1(), want->parameters().moments1(),
                  size_t(a->parameters().count()) * 4);
  }
  saver.wait();
  EXPECT_EQ(load(*b)->step, 30);
  EXPECT_TRUE(bytes_of(*b) == bytes_of(*want));
  EXPECT_EQ(files().size(), 4u);
}

TEST_F(SaverTest, AWritersErrorReachesTheTrainingThreadAndThePreviousPointStays) {
  const auto a = filled(1), b = empty_model();
  Saver saver(folder_.path(), {1});
  saver.save(*a, point(10));
  saver.wait();
  saver.check();
  // Where the weights of step 20 would go lies a folder: its state is written, then it fails.
  fs::create_directories(folder_ / "step-00000020.safetensors");
  saver.save(*a, point(20));
  EXPECT_THROW(saver.wait(), Error);
  saver.wait();  // told once
  EXPECT_EQ(files(),
            (std::set<std::string>{"step-00000010.safetensors", "step-00000010.state.safetensors",
                                   "step-00000020.safetensors"}));
  saver.save(*a, point(20));
  std::string error;
  for (int i = 0; i < 10000 && error.empty(); ++i) {
    try {
      saver.check();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } catch (const Error& e) {
      error = e.what();
    }
  }
  EXPECT_NE(error.find("step-00000020.safetensors: cannot write: it is a folder"),
            std::string::npos)
      << error;
  EXPECT_EQ(load(*b)->step, 10);
}

TEST_F(SaverTest, ARankThatCannotWriteIsHeardByTheOthers) {
  const auto a = filled(1);
  save_sharded(*a, 10, 2);
  ResumePoint p = point(20);
  p.id = draw_save_id();
  std::vector<bool> said;
  for (const StateShard& shard : shards(*a, 2)) {
    Snapshot snapshot;
    snapshot.take(*a, p, shard);
    const AllAgree no = [&](bool mine) {
      said.push_back(mine);
      return false;
    };
    // The other rank could not: no weights are written, and nothing of this save stays.
    EXPECT_THROW(write_resume_point(snapshot, folder_.path(), {1}, no), Error);
    // This rank cannot, and says so to the others.
    const std::string state =
        folder_ / fmt::format("step-00000020.state-{:05}-of-00002.safetensors", shard.rank);
    fs::create_directories(state);
    EXPECT_THROW(write_resume_point(snapshot, folder_.path(), {1}, no), Error);
    fs::remove_all(state);
  }
  EXPECT_EQ(said, (std::vector<bool>{true, false, true, false}));
  const auto b = empty_model();
  EXPECT_EQ(load(*b)->step, 10);
  EXPECT_EQ(files().size(), 3u);
}

// Three ranks as threads, each with a saver of its own, as they are on as many machines.
TEST_F(SaverTest, RanksSaveTogetherOrNotAtAll) {
  constexpr int kRanks = 3;
  const auto want = filled(1);
  std::barrier training(kRanks), writing(kRanks);
  std::string id;
  int saves = 0;  // of rank 1
  std::array<bool, kRanks> said{};
  std::array<std::string, kRanks> errors;
  const auto rank_main = [&](int rank) {
    const auto model = filled(1);
    SaveRanks ranks{shards(*model, kRanks)[size_t(rank)]};
    ranks.from_first = [&, rank](const std::string& text) {
      if (rank == 0) id = text;
      training.arrive_and_wait();
      const std::string first = id;
      if (rank == 1 && ++saves == 2)  // it cannot write its state of step 20
        fs::create_directories(folder_ / "step-00000020.state-00001-of-00003.safetensors");
      training.arrive_and_wait();
      return first;
    };
    ranks.all = [&, rank](bool mine) {
      said[size_t(rank)] = mine;
      writing.arrive_and_wait();
      const bool all = said[0] && said[1] && said[2];
      writing.arrive_and_wait();
      return all;
    };
    Saver saver(folder_.path(), {2}, ranks);
    for (const int64_t step : {10, 20, 30}) {
      saver.save(*model, point(step));
      std::memset(model->parameters().values(), int(step), 64);  // while the files are made
      try {
        saver.wait();
      } catch (const Error& e) {
        errors[size_t(rank)] += e.what();
      }
      std::memcpy(model->parameters().values(), want->parameters().values(), 64);
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank) threads.emplace_back(rank_main, rank);
  for (std::thread& thread : threads) thread.join();
  EXPECT_NE(errors[1].find("step-00000020.state-00001-of-00003.safetensors: cannot write"),
            std::string::npos)
      << errors[1];
  for (const int rank : {0, 2})
    EXPECT_NE(errors[size_t(rank)].find("step-00000020.safetensors: another rank could not write"),
              std::string::npos)
        << errors[size_t(rank)];
  EXPECT_FALSE(fs::exists(folder_ / "step-00000020.safetensors"));
  const auto model = empty_model();
  for (const int64_t step : {30, 10}) {
    const auto got = load(*model, {}, {step});
    ASSERT_TRUE(got) << step;
    EXPECT_EQ(got->step, step);
    EXPECT_TRUE(bytes_of(*model) == bytes_of(*want));
  }
}

}  // namespace
}  // namespace mome
