// Checkpoints: weights come back bit by bit; what does not fit is named.
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

TEST_F(CheckpointTest, AFlippedBitIsFoundWhereTrainingStartsFromIt) {
  MomeModel a(config(), ModelParts::stage_image());
  a.parameters().initialize(1);
  save_weights(a, path("a.safetensors"), false, {});
  load_weights(a, path("a.safetensors"));
  std::string bytes = read_file(path("a.safetensors"));
  bytes[bytes.size() - 5] ^= 4;
  write_file_atomic(path("a.safetensors"), bytes);
  const std::string e = error_of([&] { load_weights(a, path("a.safetensors")); });
  EXPECT_NE(e.find("a.safetensors: its checksum does not fit"), std::string::npos) << e;
  open_checkpoint(path("a.safetensors"));  // for use it is a view of the file, of which no more is read than is asked for
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
