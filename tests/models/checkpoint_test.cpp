// Checkpoints: weights come back bit by bit; what does not fit is named; broken resume points are passed over.
#include "models/stages/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

ModelConfig config(int64_t width = 16) {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = width, c.heads = 2, c.layers = 2, c.vl_from = 1, c.text_length = 8, c.vocabulary = 12;
  return c;
}

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  ~CheckpointTest() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string error_of(auto&& f) {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  // A run's progress whose every step was taken.
  static OptimizerProgress after(int64_t step) {
    OptimizerProgress p;
    p.t = step;
    p.loss_scale = 1;
    return p;
  }
  static bool same_values(const MomeModel& a, const MomeModel& b) {
    for (int i = 0; i < int(a.parameters().list().size()); ++i) {
      const Tensor x = a.parameters().value(i), y = b.parameters().value(i);
      if (std::memcmp(x.data, y.data, x.bytes()) != 0) return false;
    }
    return true;
  }
  const std::string folder_ = testing::TempDir() + "mome_checkpoint_" + std::to_string(getpid());
};

TEST_F(CheckpointTest, RoundTripAndSelfDescription) {
  MomeModel a(config(), ModelParts::stage_pairs());
  a.parameters().initialize(7);
  save_weights(a, path("a.safetensors"), false, {{"note", "x"}});
  const auto b = open_checkpoint(path("a.safetensors"));
  EXPECT_TRUE(same_values(a, *b));
  EXPECT_EQ(b->config().text_length, 8);
  EXPECT_TRUE(b->parts().itm);
  EXPECT_FALSE(b->parts().mim);
}

TEST_F(CheckpointTest, NextStageTakesWhatThereIs) {
  MomeModel image(config(), ModelParts::stage_image());
  image.parameters().initialize(1);
  save_weights(image, path("image.safetensors"), false, {});
  MomeModel pairs(config(), ModelParts::stage_pairs());
  pairs.parameters().initialize(2);
  const LoadReport r = load_weights(pairs, path("image.safetensors"));
  EXPECT_EQ(r.unused.size(), 3u);  // the mask token and the head of stage 1
  EXPECT_FALSE(r.fresh.empty());
  const int i = image.parameters().find("transformer.blocks.1.attn.qkv.weight"), p = pairs.parameters().find("transformer.blocks.1.attn.qkv.weight");
  EXPECT_EQ(std::memcmp(image.parameters().value(i).data, pairs.parameters().value(p).data, pairs.parameters().value(p).bytes()), 0);
}

TEST_F(CheckpointTest, OtherShapesAreNamed) {
  MomeModel a(config(16), ModelParts::stage_image());
  save_weights(a, path("a.safetensors"), false, {});
  MomeModel b(config(24), ModelParts::stage_image());
  const std::string e = error_of([&] { load_weights(b, path("a.safetensors")); });
  EXPECT_NE(e.find("a.safetensors"), std::string::npos) << e;
  EXPECT_NE(e.find("[1, 1, 16]"), std::string::npos) << e;
  EXPECT_NE(e.find("[1, 1, 24]"), std::string::npos) << e;
}

TEST_F(CheckpointTest, LongerTextPositionsAreCut) {
  ModelConfig longer = config();
  longer.positions = "absolute";
  longer.text_length = 11;
  MomeModel a(longer, ModelParts::stage_text());
  a.parameters().initialize(3);
  save_weights(a, path("a.safetensors"), false, {});
  ModelConfig shorter = longer;
  shorter.text_length = 8;
  MomeModel b(shorter, ModelParts::stage_text());
  load_weights(b, path("a.safetensors"));
  const char* name = "text_embeddings.position_embeddings.weight";
  const Tensor from = a.parameters().value(a.parameters().find(name)), to = b.parameters().value(b.parameters().find(name));
  EXPECT_EQ(to.rows, 8);
  EXPECT_EQ(std::memcmp(from.data, to.data, to.bytes()), 0);
  save_weights(b, path("b.safetensors"), false, {});
  EXPECT_NE(error_of([&] { load_weights(a, path("b.safetensors")); }), "");  // growing is not possible
}

TEST_F(CheckpointTest, ResumePoints) {
  const std::map<std::string, std::string> recipe = {{"mome.recipe", "one"}};
  MomeModel a(config(), ModelParts::stage_pairs());
  a.parameters().initialize(4);
  a.parameters().keep_average();
  std::vector<std::string> problems;
  OptimizerProgress progress;
  EXPECT_EQ(load_resume_point(a, folder_, recipe, problems, progress), -1);
  a.parameters().moment1(0).as<float>()[0] = 0.25f;
  a.parameters().moment2(0).as<float>()[1] = 0.5f;
  a.parameters().average(0).as<float>()[0] = 9;
  save_resume_point(a, folder_, 10, recipe, after(10));
  save_resume_point(a, folder_, 20, recipe, after(20));
  EXPECT_FALSE(fs::exists(path("step-00000010.safetensors")));  // the older pair goes when the newer is whole
  MomeModel b(config(), ModelParts::stage_pairs());
  b.parameters().keep_average();
  EXPECT_EQ(load_resume_point(b, folder_, recipe, problems, progress), 20);
  EXPECT_TRUE(problems.empty());
  EXPECT_TRUE(same_values(a, b));
  EXPECT_EQ(b.parameters().moment1(0).as<float>()[0], 0.25f);
  EXPECT_EQ(b.parameters().moment2(0).as<float>()[1], 0.5f);
  EXPECT_EQ(b.parameters().average(0).as<float>()[0], 9);
  const std::string e = error_of([&] { load_resume_point(b, folder_, {{"mome.recipe", "two"}}, problems, progress); });
  EXPECT_NE(e.find("another recipe"), std::string::npos) << e;
}

TEST_F(CheckpointTest, ABrokenNewestPairIsPassedOver) {
  const std::map<std::string, std::string> recipe = {{"mome.recipe", "one"}};
  MomeModel a(config(), ModelParts::stage_image());
  a.parameters().initialize(4);
  save_resume_point(a, folder_, 10, recipe, after(10));
  fs::copy(path("step-00000010.safetensors"), path("step-00000030.safetensors"));
  fs::copy(path("step-00000010.state.safetensors"), path("step-00000030.state.safetensors"));
  fs::resize_file(path("step-00000030.state.safetensors"), 2000);
  fs::copy(path("step-00000010.safetensors"), path("step-00000040.safetensors"));  // its sidecar was never written
  std::vector<std::string> problems;
  OptimizerProgress progress;
  MomeModel b(config(), ModelParts::stage_image());
  EXPECT_EQ(load_resume_point(b, folder_, recipe, problems, progress), 10);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("step-00000030.state.safetensors"), std::string::npos) << problems[0];
  EXPECT_TRUE(same_values(a, b));
}

TEST_F(CheckpointTest, TheOptimisersProgressGoesAlong) {
  MomeModel a(config(), ModelParts::stage_image());
  a.parameters().initialize(4);
  std::vector<std::string> problems;
  OptimizerProgress got;
  // Nothing was skipped and no loss is scaled: the step's number says it all, as it did in older files.
  save_resume_point(a, folder_, 10, {}, after(10));
  EXPECT_EQ(SafeTensors(path("step-00000010.state.safetensors")).metadata().count("mome.optimizer"), 0u);
  EXPECT_EQ(load_resume_point(a, folder_, {}, problems, got), 10);
  EXPECT_EQ(got.t, 10);
  EXPECT_EQ(got.loss_scale, 0);  // not known: the start's
  const OptimizerProgress progress{17, 3, 2048, 12, 2};
  save_resume_point(a, folder_, 20, {}, progress);
  EXPECT_EQ(load_resume_point(a, folder_, {}, problems, got), 20);
  EXPECT_EQ(got, progress);
  EXPECT_TRUE(problems.empty());
  // Nonsense makes a broken pair, and is named.
  for (const char* text : {"{", "{\"t\": 1}", R"({"t":1,"skipped":0,"skipped_in_a_row":0,"loss_scale":-2,"good_steps":0})"}) {
    problems.clear();
    const std::vector<float> v = {1};
    write_safetensors(path("step-00000020.state.safetensors"), std::vector<TensorEntry>{{"x", "F32", {1}, v.data()}}, {{"mome.optimizer", text}});
    EXPECT_EQ(load_resume_point(a, folder_, {}, problems, got), -1);
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_NE(problems[0].find("step-00000020.state.safetensors: metadata \"mome.optimizer\""), std::string::npos) << problems[0];
  }
}

TEST_F(CheckpointTest, ADevicesFilesAreTheCpus) {
  MomeModel host(config(), ModelParts::stage_pairs());
  host.parameters().initialize(4);
  host.copy_language_experts();
  host.parameters().keep_average();
  host.parameters().average(0).as<float>()[0] = 9;
  host.parameters().moment1(1).as<float>()[0] = 0.25f;
  host.parameters().moment2(2).as<float>()[0] = 0.5f;
  const OptimizerProgress progress{9, 1, 32768, 4, 0};
  save_resume_point(host, path("host"), 10, {{"k", "v"}}, progress);
  for (DType dtype : {DType::kF32, DType::kF16}) {
    const auto device = Device::simt({.lazy = true});
    MomeModel model(config(), ModelParts::stage_pairs(), dtype, *device);
    ParameterSet& p = model.parameters();
    p.keep_average();
    std::vector<std::string> problems;
    OptimizerProgress got;
    ASSERT_EQ(load_resume_point(model, path("host"), {}, problems, got), 10);
    EXPECT_EQ(got, progress);
    save_resume_point(model, path("device"), 10, {{"k", "v"}}, got);
    for (const char* name : {"/step-00000010.safetensors", "/step-00000010.state.safetensors"})
      EXPECT_TRUE(read_file(path("host") + name) == read_file(path("device") + name)) << name;
    save_weights(host, path("a.safetensors"), true, {});
    save_weights(model, path("b.safetensors"), true, {});
    EXPECT_TRUE(read_file(path("a.safetensors")) == read_file(path("b.safetensors")));
    // A device's own start, and weights alone, bring the copies along.
    MomeModel fresh(config(), ModelParts::stage_pairs(), dtype, *device);
    fresh.parameters().initialize(4);
    fresh.copy_language_experts();
    MomeModel loaded(config(), ModelParts::stage_pairs(), dtype, *device);
    load_weights(loaded, path("host/step-00000010.safetensors"));
    const auto bytes = [&](const MomeModel& m) {
      const ParameterSet& q = m.parameters();
      std::vector<char> out(size_t(q.count()) * size_of(dtype));
      device->download(out.data(), dtype == DType::kF32 ? q.values() : q.copies(), out.size());
      return out;
    };
    EXPECT_EQ(bytes(fresh), bytes(model));
    EXPECT_EQ(bytes(loaded), bytes(model));
    EXPECT_NE(bytes(loaded), std::vector<char>(bytes(loaded).size(), 0));
  }
}

TEST_F(CheckpointTest, StrangersAreRefused) {
  const std::vector<float> v = {1};
  const std::vector<TensorEntry> t = {{"x", "F32", {1}, v.data()}};
  write_safetensors(path("x.safetensors"), t, {});
  const std::string e = error_of([&] { open_checkpoint(path("x.safetensors")); });
  EXPECT_NE(e.find("expected a checkpoint of VLMo or BEiT"), std::string::npos) << e;
  write_safetensors(path("y.safetensors"), t, {{"mome.model", "{\"shape\": 3}"}});
  EXPECT_NE(error_of([&] { open_checkpoint(path("y.safetensors")); }).find("does not describe a model"), std::string::npos);
  EXPECT_NE(error_of([&] { open_checkpoint(path("none.safetensors")); }).find("none.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace mome
