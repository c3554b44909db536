// What the tests of resume points share: models whose every number is another, shards, a folder.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "kernels/common/philox.h"
#include "models/stages/resume_point.h"
#include "tests/runtime/data_files.h"

namespace mome {

using Metadata = std::map<std::string, std::string>;

inline const Metadata kRun = {{"mome.recipe", "one"}};

inline ModelConfig resume_config() {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 2, c.vl_from = 1,
  c.text_length = 8, c.vocabulary = 12;
  return c;
}

// Every element of every arena another number; padding between parameters stays zero. One parameter
// is frozen.
inline std::unique_ptr<MomeModel> filled(uint64_t seed, bool average = true) {
  auto model = std::make_unique<MomeModel>(resume_config(), ModelParts::stage_pairs());
  ParameterSet& p = model->parameters();
  p[2].trained = false;
  if (average) p.keep_average();
  RandomStream random(seed, 0, Purpose::kInit, 0);
  for (int i = 0; i < int(p.list().size()); ++i)
    for (const Tensor& t : {p.writable_value(i), p.moment1(i), p.moment2(i), p.average(i)}) {
      const bool moment = t.data == p.moment1(i).data || t.data == p.moment2(i).data;
      for (int64_t k = 0; t.data && k < t.count() && (p[i].trained || !moment); ++k)
        t.as<float>()[k] = float(random.uniform(-1, 1));
    }
  return model;
}
inline std::unique_ptr<MomeModel> empty_model() {
  auto model = std::make_unique<MomeModel>(resume_config(), ModelParts::stage_pairs());
  model->parameters()[2].trained = false;
  model->parameters().keep_average();
  return model;
}

// Values, moments and average within elements [begin, end) of the arenas.
inline std::string bytes_of(const MomeModel& model, int64_t begin, int64_t end,
                            bool values = true) {
  const ParameterSet& p = model.parameters();
  std::string out;
  for (const void* arena :
       {values ? p.values() : nullptr, p.moments1(), p.moments2(), p.averages()})
    if (arena) out.append(static_cast<const char*>(arena) + begin * 4, size_t(end - begin) * 4);
  return out;
}
inline std::string bytes_of(const MomeModel& model) {
  return bytes_of(model, 0, model.parameters().count());
}

// The arenas cut at places that are no parameter's, into pieces dealt out by turns.
inline std::vector<StateShard> shards(const MomeModel& model, int size) {
  std::vector<StateShard> out;
  for (int rank = 0; rank < size; ++rank) out.push_back({rank, size});
  if (size == 1) return out;
  const int64_t count = model.parameters().count(), piece = count / (3 * size) + 7;
  for (int64_t at = 0, n = 0; at < count; at += piece, ++n)
    out[size_t(n % size)].ranges.emplace_back(at, std::min(count, at + piece));
  return out;
}

class ResumePoints : public testing::Test {
 protected:
  std::optional<ResumePoint> load(MomeModel& model, const StateShard& shard = {},
                                  const Among& among = {}, const Metadata& run = kRun) {
    problems_.clear();
    return load_resume_point(model, folder_.path(), run, problems_, shard, among);
  }
  static ResumePoint point(int64_t step) {
    ResumePoint p{.step = step, .run = kRun};
    p.progress = {step - 3, 3, 2048, 12, 0};
    p.detour = {40, 1, 7};
    return p;
  }
  void save(const MomeModel& model, int64_t step, const Keep& keep = {9}) {
    save_resume_point(model, folder_.path(), point(step), keep);
  }
  // All ranks of a save, one after the other: rank 0 hears last that all have written.
  void save_sharded(const MomeModel& model, int64_t step, int size, const Keep& keep = {9}) {
    ResumePoint p = point(step);
    p.id = draw_save_id();
    for (const StateShard& shard : shards(model, size)) {
      Snapshot snapshot;
      snapshot.take(model, p, shard);
      if (shard.rank > 0)
        write_resume_point(snapshot, folder_.path(), keep, [](bool mine) { return mine; });
    }
    Snapshot first;
    first.take(model, p, shards(model, size)[0]);
    write_resume_point(first, folder_.path(), keep, [](bool mine) { return mine; });
  }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& e : std::filesystem::directory_iterator(folder_.path()))
      names.insert(e.path().filename());
    return names;
  }
  void replace(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  // One problem, of this file; what was loaded is `want` at step 10.
  void expect_previous(const std::string& name, const MomeModel& want,
                       const std::string& where = "") {
    const auto model = empty_model();
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

}  // namespace mome
