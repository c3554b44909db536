// Resume points: all of a run's state comes back bit by bit, at any number of ranks; what is damaged is found and named, and the
// point before it is used.
#include "models/stages/resume_point.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "kernels/common/philox.h"
#include "models/stages/checkpoint.h"
#include "models/stages/saver.h"
#include "runtime/io/atomic_file.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using Metadata = std::map<std::string, std::string>;

const Metadata kRun = {{"mome.recipe", "one"}};

ModelConfig config() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 2, c.vl_from = 1, c.text_length = 8, c.vocabulary = 12;
  return c;
}

// Every element of every arena another number; padding between parameters stays zero. One parameter is frozen.
std::unique_ptr<MomeModel> filled(uint64_t seed, bool average = true) {
  auto model = std::make_unique<MomeModel>(config(), ModelParts::stage_pairs());
  ParameterSet& p = model->parameters();
  p[2].trained = false;
  if (average) p.keep_average();
  RandomStream random(seed, 0, Purpose::kInit, 0);
  for (int i = 0; i < int(p.list().size()); ++i)
    for (const Tensor& t : {p.writable_value(i), p.moment1(i), p.moment2(i), p.average(i)}) {
      const bool moment = t.data == p.moment1(i).data || t.data == p.moment2(i).data;
      for (int64_t k = 0; t.data && k < t.count() && (p[i].trained || !moment); ++k) t.as<float>()[k] = float(random.uniform(-1, 1));
    }
  return model;
}
std::unique_ptr<MomeModel> empty() {
  auto model = std::make_unique<MomeModel>(config(), ModelParts::stage_pairs());
  model->parameters()[2].trained = false;
  model->parameters().keep_average();
  return model;
}

// Values, moments and average within elements [begin, end) of the arenas.
std::string bytes_of(const MomeModel& model, int64_t begin, int64_t end, bool values = true) {
  const ParameterSet& p = model.parameters();
  std::string out;
  for (const void* arena : {values ? p.values() : nullptr, p.moments1(), p.moments2(), p.averages()})
    if (arena) out.append(static_cast<const char*>(arena) + begin * 4, size_t(end - begin) * 4);
  return out;
}
std::string bytes_of(const MomeModel& model) { return bytes_of(model, 0, model.parameters().count()); }

// The arenas cut at places that are no parameter's, into pieces dealt out by turns.
std::vector<StateShard> shards(const MomeModel& model, int size) {
  std::vector<StateShard> out;
  for (int rank = 0; rank < size; ++rank) out.push_back({rank, size});
  if (size == 1) return out;
  const int64_t count = model.parameters().count(), piece = count / (3 * size) + 7;
  for (int64_t at = 0, n = 0; at < count; at += piece, ++n) out[size_t(n % size)].ranges.emplace_back(at, std::min(count, at + piece));
  return out;
}

class ResumePoints : public testing::Test {
 protected:
  std::optional<ResumePoint> load(MomeModel& model, const StateShard& shard = {}, const Among& among = {}, const Metadata& run = kRun) {
    problems_.clear();
    return load_resume_point(model, folder_.path(), run, problems_, shard, among);
  }
  static ResumePoint point(int64_t step) {
    ResumePoint p{.step = step, .run = kRun};
    p.progress = {step - 3, 3, 2048, 12, 0};
    p.detour = {40, 1, 7};
    return p;
  }
  void save(const MomeModel& model, int64_t step, const Keep& keep = {9}) { save_resume_point(model, folder_.path(), point(step), keep); }
  // All ranks of a save, one after the other: rank 0 hears last that all have written.
  void save_sharded(const MomeModel& model, int64_t step, int size, const Keep& keep = {9}) {
    ResumePoint p = point(step);
    p.id = draw_save_id();
    for (const StateShard& shard : shards(model, size)) {
      Snapshot snapshot;
      snapshot.take(model, p, shard);
      if (shard.rank > 0) write_resume_point(snapshot, folder_.path(), keep, [](bool mine) { return mine; });
    }
    Snapshot first;
    first.take(model, p, shards(model, size)[0]);
    write_resume_point(first, folder_.path(), keep, [](bool mine) { return mine; });
  }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& e : fs::directory_iterator(folder_.path())) names.insert(e.path().filename());
    return names;
  }
  void replace(const std::string& name, const std::string& bytes) { std::ofstream(folder_ / name, std::ios::binary) << bytes; }
  // One problem, of this file; what was loaded is `want` at step 10.
  void expect_previous(const std::string& name, const MomeModel& want, const std::string& where = "") {
    const auto model = empty();
    const auto got = load(*model);
    ASSERT_TRUE(got) << name << where;
    EXPECT_EQ(got->step, 10) << name << where;
    ASSERT_EQ(problems_.size(), 1u) << name << where;
    EXPECT_NE(problems_[0].find(folder_ / name), std::string::npos) << problems_[0] << where;
    EXPECT_TRUE(bytes_of(*model) == bytes_of(want)) << name << where;
  }

  TemporaryFolder folder_;
  std::vector<std::string> problems_;
};

TEST_F(ResumePoints, EverythingComesBack) {
  const auto a = filled(1), b = empty();
  EXPECT_FALSE(load(*b));
  save(*a, 10);
  const auto got = load(*b);
  ASSERT_TRUE(got);
  EXPECT_TRUE(problems_.empty());
  EXPECT_EQ(got->step, 10);
  EXPECT_EQ(got->progress, point(10).progress);
  EXPECT_EQ(got->detour, point(10).detour);
  EXPECT_TRUE(bytes_of(*a) == bytes_of(*b));
  // The weights are a checkpoint like any other.
  EXPECT_EQ(open_checkpoint(folder_ / "step-00000010.safetensors")->config().text_length, 8);
  // Another run's are refused, not passed over.
  try {
    load(*b, {}, {}, {{"mome.recipe", "two"}});
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_NE(std::string(e.what()).find("another recipe"), std::string::npos) << e.what();
  }
  // A run that keeps an average finds none in a point without.
  fs::remove_all(folder_.path());
  save(*filled(1, false), 10);
  EXPECT_FALSE(load(*b));
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_NE(problems_[0].find("elements that are needed"), std::string::npos) << problems_[0];
}

TEST_F(ResumePoints, TheLastFewAreKept) {
  const auto a = filled(1), b = empty();
  for (const int64_t step : {10, 20, 30}) save(*a, step, {2});
  EXPECT_EQ(files(), (std::set<std::string>{"step-00000020.safetensors", "step-00000020.state.safetensors", "step-00000030.safetensors",
                                            "step-00000030.state.safetensors"}));
  EXPECT_EQ(load(*b)->step, 30);
  EXPECT_EQ(load(*b, {}, {29})->step, 20);
  EXPECT_FALSE(load(*b, {}, {19}));
  EXPECT_EQ(load(*b, {}, {.every = 20})->step, 20);
  // What a killed writer left goes with the next save, and so do steps that will be taken anew.
  replace("step-00000011.state.safetensors.tmp", "x");
  replace("step-00000012.state-00001-of-00004.safetensors", "x");
  replace("notes.txt", "mine");
  save(*a, 25, {2});
  EXPECT_EQ(files(), (std::set<std::string>{"notes.txt", "step-00000020.safetensors", "step-00000020.state.safetensors", "step-00000025.safetensors",
                                            "step-00000025.state.safetensors"}));
  // Points off the schedule do not push out those on it; only the newest stays.
  for (const int64_t step : {30, 31, 32}) save(*a, step, {2, 10});
  EXPECT_EQ(files(), (std::set<std::string>{"notes.txt", "step-00000020.safetensors", "step-00000020.state.safetensors", "step-00000030.safetensors",
                                            "step-00000030.state.safetensors", "step-00000032.safetensors", "step-00000032.state.safetensors"}));
}

TEST_F(ResumePoints, AnyNumberOfRanksReadsWhatAnyOtherWrote) {
  const auto a = filled(1);
  for (const int written : {1, 2, 4}) {
    fs::remove_all(folder_.path());
    save_sharded(*a, 10, written);
    for (const int read : {1, 2, 3}) {
      const std::vector<StateShard> all = shards(*a, read);
      for (const StateShard& shard : all) {
        const auto b = empty();
        const std::string untouched = bytes_of(*b, 0, b->parameters().count(), false);
        const auto got = load(*b, shard);
        ASSERT_TRUE(got) << written << read;
        EXPECT_EQ(got->progress, point(10).progress);
        EXPECT_EQ(std::memcmp(a->parameters().values(), b->parameters().values(), size_t(a->parameters().count()) * 4), 0);
        if (read == 1) {
          EXPECT_TRUE(bytes_of(*a) == bytes_of(*b)) << written;
        }
        for (const StateShard& other : all)
          for (const auto& [begin, end] : other.ranges) {
            const std::string mine = bytes_of(*b, begin, end, false);
            EXPECT_TRUE(mine == (other.rank == shard.rank ? bytes_of(*a, begin, end, false) : std::string(mine.size(), '\0'))) << written << read;
          }
      }
    }
  }
}

TEST_F(ResumePoints, APointCountsOnlyWithAllShardsOfOneSave) {
  const auto a = filled(1), b = filled(2);
  save_sharded(*a, 10, 4);
  save_sharded(*b, 20, 4);
  const std::string name = "step-00000020.state-00002-of-00004.safetensors", good = read_file(folder_ / name);
  ASSERT_EQ(files().size(), 10u);
  {
    const auto c = empty();
    EXPECT_EQ(load(*c)->step, 20);
  }
  fs::remove(folder_ / name);
  expect_previous(name, *a, " is missing");
  std::string flipped = good;
  flipped[flipped.size() / 2] ^= 1;
  replace(name, flipped);
  expect_previous(name, *a, " is flipped");
  // The same step saved once more, with one file of the save before: whole, but not of this save.
  replace(name, good);
  save_sharded(*b, 20, 4);
  replace(name, good);
  expect_previous(name, *a, " is of another save");
  EXPECT_NE(problems_[0].find("is not of the same save"), std::string::npos) << problems_[0];
  // Weights that another number of ranks wrote.
  save_sharded(*b, 20, 2);
  fs::remove(folder_ / "step-00000020.state-00001-of-00002.safetensors");
  expect_previous("step-00000020.state-00001-of-00002.safetensors", *a);
  // Without weights there never was a point.
  fs::remove(folder_ / "step-00000020.safetensors");
  const auto c = empty();
  EXPECT_EQ(load(*c)->step, 10);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(ResumePoints, DamageAnywhereIsFoundNamedAndPassedOver) {
  const auto a = filled(1), b = filled(2);
  save(*a, 10);
  save(*b, 20);
  RandomStream random(3, 0, Purpose::kInit, 0);
  for (const std::string name : {"step-00000020.safetensors", "step-00000020.state.safetensors"}) {
    const std::string whole = read_file(folder_ / name);
    for (int i = 0; i < 40; ++i) {
      // Half of the places in the header, which is but a part of the file.
      const size_t at = random.below(uint32_t(i % 2 ? whole.size() : 2000)), bit = random.below(8);
      std::string bad = whole;
      bad[at] = char(bad[at] ^ (1 << bit));
      replace(name, bad);
      expect_previous(name, *a, fmt::format(": bit {} of byte {}", bit, at));
    }
    for (int i = 0; i < 20; ++i) {
      const size_t bytes = i == 0 ? 0 : i == 1 ? whole.size() - 1 : random.below(uint32_t(whole.size()));
      replace(name, whole.substr(0, bytes));
      expect_previous(name, *a, fmt::format(": cut to {} bytes", bytes));
    }
    replace(name, whole);
  }
  // Both are broken: nothing is loaded, both are named.
  fs::resize_file(folder_ / "step-00000020.safetensors", 100);
  fs::resize_file(folder_ / "step-00000010.state.safetensors", 100);
  const auto c = empty();
  const std::string before = bytes_of(*c);
  EXPECT_FALSE(load(*c));
  EXPECT_EQ(problems_.size(), 2u);
  EXPECT_TRUE(bytes_of(*c) == before);
}

// A file that is whole but says nonsense is named, too: no damage, so the checksum fits.
TEST_F(ResumePoints, NonsenseIsNamed) {
  const auto a = filled(1), b = empty();
  const std::vector<std::pair<ResumePoint, std::string>> bad = {
      {{.step = 20, .run = kRun, .progress = {1, 0, -2, 0, 0}}, "loss_scale -2"},
      {{.step = 20, .run = kRun, .progress = {-1, 0, 1, 0, 0}}, "t -1"},
      {{.step = 20, .run = kRun, .progress = {1, 0, 1, 0, 0}, .detour = {-1, 0, 0}}, "-1 batches"}};
  for (const auto& [point, what] : bad) {
    save_resume_point(*a, folder_.path(), point);
    EXPECT_FALSE(load(*b));
    ASSERT_EQ(problems_.size(), 1u);
    EXPECT_NE(problems_[0].find("step-00000020.state.safetensors: metadata \"mome.optimizer\""), std::string::npos) << problems_[0];
    EXPECT_NE(problems_[0].find(what), std::string::npos) << problems_[0];
  }
  fs::rename(folder_ / "step-00000020.safetensors", folder_ / "step-00000030.safetensors");
  EXPECT_FALSE(load(*b));
  EXPECT_NE(problems_.at(0).find("is of step 20"), std::string::npos) << problems_[0];
}

TEST_F(ResumePoints, ADevicesFilesAreTheCpus) {
  const auto host = filled(4);
  ResumePoint p = point(10);
  p.id = "0123456789abcdef";
  save_resume_point(*host, folder_ / "host", p);
  for (DType dtype : {DType::kF32, DType::kF16}) {
    const auto device = Device::simt({.lazy = true});
    MomeModel model(config(), ModelParts::stage_pairs(), dtype, *device);
    model.parameters()[2].trained = false;
    model.parameters().keep_average();
    const auto got = load_resume_point(model, folder_ / "host", kRun, problems_);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->progress, p.progress);
    save_resume_point(model, folder_ / "device", p);
    for (const std::string name : {"/step-00000010.safetensors", "/step-00000010.state.safetensors"})
      EXPECT_TRUE(read_file(folder_ / ("host" + name)) == read_file(folder_ / ("device" + name))) << name;
    save_weights(*host, folder_ / "a.safetensors", true, {});
    save_weights(model, folder_ / "b.safetensors", true, {});
    EXPECT_TRUE(read_file(folder_ / "a.safetensors") == read_file(folder_ / "b.safetensors"));
    // A device's own start, and weights alone, bring the copies along.
    MomeModel loaded(config(), ModelParts::stage_pairs(), dtype, *device);
    load_weights(loaded, folder_ / "host/step-00000010.safetensors");
    const auto bytes = [&](const MomeModel& m) {
      const ParameterSet& q = m.parameters();
      std::vector<char> out(size_t(q.count()) * size_of(dtype));
      device->download(out.data(), dtype == DType::kF32 ? q.values() : q.copies(), out.size());
      return out;
    };
    EXPECT_EQ(bytes(loaded), bytes(model));
    EXPECT_NE(bytes(loaded), std::vector<char>(bytes(loaded).size(), 0));
  }
}

TEST_F(ResumePoints, TheModelMayChangeWhileItsSnapshotIsWritten) {
  const auto a = filled(1), want = filled(1), b = empty();
  Saver saver(folder_.path(), {2});
  for (const int64_t step : {10, 20, 30}) {
    saver.save(*a, point(step));
    std::memset(a->parameters().values(), 0x7f, size_t(a->parameters().count()) * 4);
    std::memset(a->parameters().moments1(), 0x7f, size_t(a->parameters().count()) * 4);
    if (step < 30) std::memcpy(a->parameters().values(), want->parameters().values(), size_t(a->parameters().count()) * 4);
    if (step < 30) std::memcpy(a->parameters().moments1(), want->parameters().moments1(), size_t(a->parameters().count()) * 4);
  }
  saver.wait();
  EXPECT_EQ(load(*b)->step, 30);
  EXPECT_TRUE(bytes_of(*b) == bytes_of(*want));
  EXPECT_EQ(files().size(), 4u);
}

TEST_F(ResumePoints, AWritersErrorReachesTheTrainingThreadAndThePreviousPointStays) {
  const auto a = filled(1), b = empty();
  Saver saver(folder_.path(), {1});
  saver.save(*a, point(10));
  saver.wait();
  saver.check();
  // Where the weights of step 20 would go lies a folder: its state is written, then it fails.
  fs::create_directories(folder_ / "step-00000020.safetensors");
  saver.save(*a, point(20));
  EXPECT_THROW(saver.wait(), Error);
  saver.wait();  // told once
  EXPECT_EQ(files(), (std::set<std::string>{"step-00000010.safetensors", "step-00000010.state.safetensors", "step-00000020.safetensors"}));
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
  EXPECT_NE(error.find("step-00000020.safetensors: cannot write: it is a folder"), std::string::npos) << error;
  EXPECT_EQ(load(*b)->step, 10);
}

TEST_F(ResumePoints, ARankThatCannotWriteIsHeardByTheOthers) {
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
    const std::string state = folder_ / fmt::format("step-00000020.state-{:05}-of-00002.safetensors", shard.rank);
    fs::create_directories(state);
    EXPECT_THROW(write_resume_point(snapshot, folder_.path(), {1}, no), Error);
    fs::remove_all(state);
  }
  EXPECT_EQ(said, (std::vector<bool>{true, false, true, false}));
  const auto b = empty();
  EXPECT_EQ(load(*b)->step, 10);
  EXPECT_EQ(files().size(), 3u);
}

}  // namespace
}  // namespace mome
