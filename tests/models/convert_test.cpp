// Conversion of checkpoints: names, sizes, dtypes, and what does not fit. The BEiT files are of
// tests/peers/write_torch_files.py: tensor number n holds n, n + 0.25, n + 0.5, …
#include "models/checkpoints/convert.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "kernels/relative_bias/relative_bias.h"
#include "models/checkpoints/beit.h"
#include "models/checkpoints/positions.h"
#include "models/checkpoints/resample.h"
#include "models/stages/checkpoint.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

std::string fixture(const std::string& name) {
  return std::string(MOME_SOURCE_DIR) + "/tests/runtime/torch_files/" + name;
}

ModelConfig small(const std::string& positions = "relative") {
  ModelConfig c;
  c.image_size = 12, c.patch = 4, c.width = 8, c.heads = 2, c.layers = 3, c.vl_from = 2;
  c.mlp_ratio = 2, c.text_length = 7, c.vocabulary = 11, c.positions = positions;
  return c;
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class ConvertTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  ~ConvertTest() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // A checkpoint as the official code writes it: no metadata, with the unread position table.
  NamedTensors official(const ModelConfig& c, const ModelParts& parts, uint64_t seed = 3) {
    MomeModel model(c, parts);
    model.parameters().initialize(seed);
    for (size_t i = 0; i < model.parameters().list().size(); ++i)  // tables start as zeros
      for (int64_t k = 0; k < model.parameters().list()[i].count; ++k)
        model.parameters().value(int(i)).as<float>()[k] +=
            0.001f * float((k * 7 + int64_t(i)) % 101);
    save_weights(model, path("official"), false, {});
    NamedTensors tensors = read_tensors(path("official"));
    tensors.metadata.clear();
    if (parts.text && c.positions == "relative")
      tensors.put(make_tensor("text_embeddings.position_embeddings.weight", "F32",
                              {c.text_length, c.width},
                              std::vector<float>(size_t(c.text_length * c.width), 0.5f)));
    return tensors;
  }
  const std::string folder_ = testing::TempDir() + "mome_convert_" + std::to_string(getpid());
};

TEST_F(ConvertTest, RoundTripsBitExactly) {
  for (const std::string positions : {"relative", "absolute"}) {
    ModelConfig c = small(positions);
    c.layer_scale = positions == "relative" ? 0.1 : 0;
    NamedTensors tensors = official(c, ModelParts::stage_pairs());
    const NamedTensors before = tensors;
    const ConvertReport report = convert_checkpoint(tensors, {.heads = 2});
    EXPECT_TRUE(report.keys.missing.empty());
    EXPECT_TRUE(report.keys.unexpected.empty());
    EXPECT_EQ(describe(report.shape), describe({c, ModelParts::stage_pairs()}));
    write_tensors(tensors, path("a"));
    NamedTensors again = read_tensors(path("a"));
    ASSERT_EQ(again.list.size(), before.list.size());
    for (const NamedTensor& t : before.list) {
      const NamedTensor& u = again.at(t.name);
      EXPECT_EQ(t.shape, u.shape) << t.name;
      ASSERT_EQ(t.bytes, u.bytes) << t.name;
      EXPECT_EQ(std::memcmp(t.data, u.data, t.bytes), 0) << t.name;
    }
    convert_checkpoint(again, {});
    write_tensors(again, path("b"));
    EXPECT_EQ(read_file(path("a")), read_file(path("b")));
    EXPECT_EQ(describe(report.shape),
              describe({open_checkpoint(path("a"))->config(), ModelParts::stage_pairs()}));
  }
}

TEST_F(ConvertTest, EveryStageIsReadOffItsTensors) {
  ModelParts fine_tuned;
  fine_tuned.image = fine_tuned.text = fine_tuned.itc = true;
  ModelParts answers, two_images, classes, entailment, no_heads;
  for (ModelParts* p : {&answers, &two_images, &entailment, &no_heads})
    p->image = p->text = p->fused = true;
  answers.vqa = 7, two_images.nlvr2 = true, entailment.entailment = 3, no_heads.pooler = true;
  classes.image = true, classes.image_classes = 4;
  for (const ModelParts& parts :
       {ModelParts::stage_image(), ModelParts::stage_image(5), ModelParts::stage_text(),
        ModelParts::stage_pairs(), fine_tuned, answers, two_images, classes, entailment, no_heads}) {
    ModelConfig c = small();
    if (!parts.fused) c.vl_from = c.layers;
    if (!parts.text) c.text_length = 40, c.vocabulary = 30522;
    if (parts.itc && !parts.itm) c.itc_tail = false, c.itc_dim = 6;
    EXPECT_EQ(describe(infer_shape(official(c, parts))), describe({c, parts}));
  }
}

TEST_F(ConvertTest, PrefixesOfFrameworksAreTakenOff) {
  NamedTensors tensors = official(small(), ModelParts::stage_text());
  const std::string name = tensors.list[0].name;
  for (NamedTensor& t : tensors.list) t.name = "_forward_module.module." + t.name;
  strip_prefixes(tensors);
  EXPECT_EQ(tensors.list[0].name, name);
  tensors.list[0].name = "module." + name;  // one name alone is that tensor's own
  strip_prefixes(tensors);
  EXPECT_EQ(tensors.list[0].name, "module." + name);
  NamedTensors lightning = read_tensors(fixture("lightning.ckpt"), true);
  strip_prefixes(lightning);
  EXPECT_EQ(lightning.wrapper, "state_dict");
  EXPECT_NE(lightning.find("w"), nullptr);
}

TEST_F(ConvertTest, BeitBecomesStageOne) {
  NamedTensors source = read_tensors(fixture("beit_fine_tuned.pth"), true), tensors = source;
  const ConvertReport report = convert_checkpoint(tensors, {});
  EXPECT_TRUE(report.beit);
  EXPECT_EQ(report.shape.config.heads, 2);
  EXPECT_EQ(report.shape.config.image_size, 12);
  EXPECT_EQ(report.dropped,
            (std::vector<std::string>{"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias",
                                      "blocks.0.attn.relative_position_index"}));
  EXPECT_EQ(report.keys.missing,
            (std::vector<std::string>{"transformer.norm.weight", "transformer.norm.bias",
                                      "token_type_embeddings.weight"}));
  const auto same = [&](const std::string& from, const std::string& to) {
    EXPECT_EQ(source.at(from).data, tensors.at(to).data) << to;  // not even copied
  };
  same("cls_token", "transformer.cls_token");
  same("blocks.1.mlp.fc2.weight", "transformer.blocks.1.mlp_imag.fc2.weight");
  same("blocks.0.norm2.bias", "transformer.blocks.0.norm2_imag.bias");
  same("blocks.0.norm1.bias", "transformer.blocks.0.norm1.bias");
  same("blocks.1.attn.q_bias", "transformer.blocks.1.attn.q_bias");
  const NamedTensor& table = tensors.at("relative_position_bias_table");
  ASSERT_EQ(table.shape, (std::vector<int64_t>{25 + 397, 4}));
  const std::vector<double> joint = float_values(tensors, table);
  for (int block = 0; block < 2; ++block) {
    const std::vector<double> own = float_values(
        source, source.at(fmt::format("blocks.{}.attn.relative_position_bias_table", block)));
    for (size_t r = 0; r < 422; ++r)
      for (size_t h = 0; h < 2; ++h)
        EXPECT_EQ(joint[r * 4 + size_t(block) * 2 + h], r < 28 ? own[r * 2 + h] : 0);
  }
  // It starts a model of the next stage, at another image size.
  NamedTensors larger = source;
  convert_checkpoint(larger, {.image_size = 20});
  ModelConfig c = small();
  c.layers = 2, c.image_size = 20;
  MomeModel model(c, ModelParts::stage_text());
  const KeyReport keys = load_tensors(model, larger, {"*"});
  EXPECT_TRUE(keys.unexpected.empty());
  EXPECT_TRUE(has(keys.missing, "transformer.blocks.0.mlp_text.fc1.weight"));
  EXPECT_FALSE(has(keys.missing, "transformer.blocks.0.mlp_imag.fc1.weight"));
}

TEST_F(ConvertTest, BeitWithASharedTable) {
  NamedTensors source = read_tensors(fixture("beit_pre_trained.pth")), tensors = source;
  const ConvertReport report = convert_checkpoint(tensors, {.from = "beit"});
  EXPECT_EQ(report.keys.missing, (std::vector<std::string>{"token_type_embeddings.weight"}));
  EXPECT_NE(tensors.find("transformer.mask_token"), nullptr);
  const auto own = float_values(source, source.at("rel_pos_bias.relative_position_bias_table"));
  const auto joint = float_values(tensors, tensors.at("relative_position_bias_table"));
  for (size_t r = 0; r < 28; ++r)
    for (size_t k = 0; k < 4; ++k) EXPECT_EQ(joint[r * 4 + k], own[r * 2 + k % 2]);
  EXPECT_NE(error_of([&] { convert_checkpoint(source, {.from = "vlmo"}); }), "");
  NamedTensors vlmo = official(small(), ModelParts::stage_text());
  EXPECT_NE(error_of([&] { convert_checkpoint(vlmo, {.from = "beit"}); }).find("BEiT's names"),
            std::string::npos);
  NamedTensors broken = read_tensors(fixture("beit_fine_tuned.pth"));
  broken.remove("blocks.1.attn.relative_position_bias_table");
  EXPECT_NE(error_of([&] {
              import_beit(broken);
            }).find("`blocks.1.attn.relative_position_bias_table` is missing"),
            std::string::npos);
}

TEST_F(ConvertTest, AnotherImageSizeResamplesThePositionsAlone) {
  const NamedTensors before = official(small(), ModelParts::stage_pairs());
  NamedTensors tensors = before;
  const ConvertReport report = convert_checkpoint(tensors, {.image_size = 20});
  EXPECT_EQ(report.shape.config.image_size, 20);
  const char* name = "relative_position_bias_table";
  const std::vector<double> from = float_values(before, before.at(name));
  const std::vector<double> to = float_values(tensors, tensors.at(name));
  ASSERT_EQ(tensors.at(name).shape, (std::vector<int64_t>{81 + 397, 6}));
  const auto image =
      resample_square(geometric_weights(5, 9), {from.begin(), from.begin() + 25 * 6}, 6);
  for (size_t i = 0; i < 81 * 6; ++i) EXPECT_EQ(to[i], double(float(image[i])));
  EXPECT_TRUE(std::equal(to.begin() + 81 * 6, to.end(), from.begin() + 25 * 6, from.end()));
  for (const NamedTensor& t : before.list)
    EXPECT_EQ(t.data == tensors.at(t.name).data, t.name != name) << t.name;

  ModelConfig c = small("absolute");
  c.layer_scale = 0;
  NamedTensors absolute = official(c, ModelParts::stage_image());
  const auto old = float_values(absolute, absolute.at("transformer.pos_embed"));
  convert_checkpoint(absolute, {.image_size = 24, .heads = 2});
  const auto now = float_values(absolute, absolute.at("transformer.pos_embed"));
  ASSERT_EQ(absolute.at("transformer.pos_embed").shape, (std::vector<int64_t>{1, 37, 8}));
  const auto patches = resample_square(bicubic_weights(3, 6), {old.begin() + 8, old.end()}, 8);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(now[i], old[i]);
  for (size_t i = 0; i < patches.size(); ++i) EXPECT_EQ(now[8 + i], double(float(patches[i])));

  NamedTensors odd = before;
  EXPECT_THROW(convert_checkpoint(odd, {.image_size = 21}), UsageError);
}

TEST_F(ConvertTest, AnotherTextLengthCutsThePositions) {
  NamedTensors tensors = official(small(), ModelParts::stage_text());
  const char* name = "text_embeddings.position_embeddings.weight";
  const NamedTensor before = tensors.at(name);
  NamedTensors shorter = tensors, longer = tensors;
  EXPECT_EQ(convert_checkpoint(shorter, {.text_length = 5}).shape.config.text_length, 5);
  EXPECT_EQ(shorter.at(name).shape, (std::vector<int64_t>{5, 8}));
  EXPECT_EQ(shorter.at(name).data, before.data);
  convert_checkpoint(longer, {.text_length = 9});
  const std::vector<double> values = float_values(longer, longer.at(name));
  ASSERT_EQ(values.size(), 72u);
  EXPECT_EQ(values[55], 0.5);
  EXPECT_EQ(values[56], 0);
  EXPECT_THROW(convert_checkpoint(tensors, {.text_length = 197}), UsageError);

  ModelConfig c = small("absolute");
  NamedTensors absolute = official(c, ModelParts::stage_text());
  EXPECT_NE(error_of([&] {
              convert_checkpoint(absolute, {.text_length = 9, .heads = 2});
            }).find("cannot be stretched"),
            std::string::npos);
}

TEST_F(ConvertTest, IndexBuffersAreThoseOfTheOfficialCode) {
  ModelConfig c = small();
  c.image_size = 56, c.text_length = 6;  // a grid of 14, as at 224 pixels
  NamedTensors tensors = official(c, ModelParts::stage_pairs());
  convert_checkpoint(tensors, {.index_buffers = true});
  const auto at = [&](const char* name, int64_t i, int64_t j) {
    const NamedTensor& t = tensors.at(name);
    EXPECT_EQ(t.dtype, "I64");
    int64_t value;
    std::memcpy(&value, t.data + size_t(i * t.shape[1] + j) * sizeof value, sizeof value);
    return value;
  };
  EXPECT_EQ(tensors.at("relative_position_index").shape, (std::vector<int64_t>{197, 197}));
  EXPECT_EQ(at("relative_position_index", 1, 2), 13 * 27 + 12);
  EXPECT_EQ(at("relative_position_index", 0, 5), 729);
  EXPECT_EQ(at("relative_position_index", 5, 0), 730);
  EXPECT_EQ(at("relative_position_index", 0, 0), 731);
  EXPECT_EQ(tensors.at("text_relative_position_index").shape, (std::vector<int64_t>{6, 6}));
  EXPECT_EQ(at("text_relative_position_index", 1, 2), 929);
  EXPECT_EQ(at("text_relative_position_index", 0, 0), 1125);
  EXPECT_EQ(tensors.at("text_imag_relative_position_index").shape,
            (std::vector<int64_t>{203, 203}));
  EXPECT_EQ(at("text_imag_relative_position_index", 2, 9), 732);
  EXPECT_EQ(at("text_imag_relative_position_index", 9, 2), 733);
  EXPECT_EQ(at("text_imag_relative_position_index", 7, 8), 13 * 27 + 12);
  EXPECT_EQ(at("text_embeddings.position_ids", 0, 5), 5);
  write_tensors(tensors, path("with"));
  NamedTensors again = read_tensors(path("with"));
  const ConvertReport report = convert_checkpoint(again, {});  // and off again
  EXPECT_EQ(report.dropped.size(), 4u);
  EXPECT_EQ(again.find("relative_position_index"), nullptr);
}

TEST_F(ConvertTest, DtypesRoundOnceAndLoseNoRange) {
  NamedTensors tensors = official(small(), ModelParts::stage_text());
  // 1 + 2^-8 + 2^-30 lies above the middle of two bfloat16; by way of float it would be a tie.
  tensors.put(make_tensor<double>("mlm_score.bias", "F64", {11},
                                  std::vector<double>(11, 1 + 0x1p-8 + 0x1p-30)));
  NamedTensors narrow = tensors;
  narrow.ignored = {"step"};
  EXPECT_EQ(convert_checkpoint(narrow, {.dtype = "BF16"}).dropped,
            (std::vector<std::string>{"step"}));
  EXPECT_EQ(float_values(narrow, narrow.at("mlm_score.bias"))[0], 1 + 0x1p-7);
  for (const NamedTensor& t : narrow.list) EXPECT_EQ(t.dtype, "BF16") << t.name;
  NamedTensors back = narrow;
  convert_checkpoint(back, {.dtype = "F32"});
  for (const NamedTensor& t : back.list)
    EXPECT_EQ(float_values(back, t), float_values(narrow, narrow.at(t.name))) << t.name;
  MomeModel model(small(), ModelParts::stage_text());  // which loads them as they are
  EXPECT_TRUE(load_tensors(model, narrow, {}).missing.empty());
  const int bias = model.parameters().find("mlm_score.bias");
  EXPECT_EQ(model.parameters().value(bias).as<float>()[10], 1 + 0x1p-7f);
  tensors.put(make_tensor<float>("mlm_score.bias", "F32", {11}, std::vector<float>(11, 70000)));
  EXPECT_NE(error_of([&] {
              convert_checkpoint(tensors, {.dtype = "F16"});
            }).find("tensor `mlm_score.bias`: 70000 is too large for F16"),
            std::string::npos);
}

TEST_F(ConvertTest, WhatDoesNotFitIsListedInFull) {
  NamedTensors tensors = official(small(), ModelParts::stage_pairs());
  tensors.remove("transformer.blocks.1.mlp_text.fc2.bias");
  tensors.remove("itm_score.fc.bias");
  tensors.put(make_tensor("my.own", "F32", {2}, std::vector<float>{1, 2}));
  tensors.put(make_tensor("vqa_classifier.0.bias", "F32", {2}, std::vector<float>{1, 2}));
  NamedTensors strict = tensors;
  const std::string error = error_of([&] { convert_checkpoint(strict, {}); });
  EXPECT_NE(
      error.find("missing (2):\n  transformer.blocks.1.mlp_text.fc2.bias\n  itm_score.fc.bias\n"),
      std::string::npos)
      << error;
  EXPECT_NE(error.find("without a place in the model (1):\n  my.own"), std::string::npos) << error;
  const ConvertReport report = convert_checkpoint(tensors, {.allow_missing = true});
  EXPECT_EQ(report.keys.missing.size(), 2u);
  EXPECT_EQ(report.keys.unexpected, (std::vector<std::string>{"my.own"}));
  EXPECT_TRUE(has(report.keys.official, "vqa_classifier.0.bias"));
  EXPECT_NE(tensors.find("my.own"), nullptr);  // kept: nothing is lost

  tensors.put(make_tensor("itm_score.fc.weight", "F32", {8, 2}, std::vector<float>(16)));
  EXPECT_NE(error_of([&] {
              convert_checkpoint(tensors, {.allow_missing = true});
            }).find("of another shape (1):\n  itm_score.fc.weight: [8, 2], expected [2, 8]"),
            std::string::npos);
}

TEST_F(ConvertTest, PairsOfImagesHaveAThirdType) {
  NamedTensors tensors = official(small(), ModelParts::stage_pairs());
  const std::vector<float> three(24, 2);
  tensors.put(make_tensor(kTypesName, "F32", {3, 8}, three));
  NamedTensors without = tensors;
  EXPECT_NE(error_of([&] { convert_checkpoint(without, {}); }).find(kTypesName), std::string::npos);
  ModelParts pairs;
  pairs.image = pairs.text = pairs.fused = pairs.nlvr2 = true;
  for (const NamedTensor& t : official(small(), pairs).list)
    if (t.name.starts_with("nlvr2_classifier.")) tensors.put(t);
  const ConvertReport report = convert_checkpoint(tensors, {});
  EXPECT_TRUE(report.shape.parts.nlvr2);
  EXPECT_TRUE(report.keys.missing.empty());
  EXPECT_EQ(tensors.at(kTypesName).shape[0], 3);
}

TEST_F(ConvertTest, DescriptionsOfImpossibleModelsAreRefused) {
  NamedTensors tensors = official(small(), ModelParts::stage_text());
  const auto error = [&](const std::string& text) {
    tensors.metadata[kModelKey] = text;
    return error_of([&] { infer_shape(tensors); });
  };
  ModelConfig c = small();
  EXPECT_EQ(error(describe({c, ModelParts()})), "");
  c.width = int64_t{1} << 40;
  EXPECT_NE(
      error(describe({c, ModelParts()})).find("width is 1099511627776; expected 65536 or less"),
      std::string::npos);
  EXPECT_NE(error("{").find("does not describe a model"), std::string::npos);
  EXPECT_NE(error("{\"shape\": {\"width\": \"x\"}}").find("does not describe a model"),
            std::string::npos);
  EXPECT_NE(error("{\"shape\": {}}").find("does not describe a model"), std::string::npos);
}

TEST_F(ConvertTest, ImpossibleTablesAreNamed) {
  NamedTensors tensors = official(small(), ModelParts::stage_text());
  tensors.put(
      make_tensor("relative_position_bias_table", "F32", {423, 6}, std::vector<float>(423 * 6)));
  EXPECT_NE(
      error_of([&] { convert_checkpoint(tensors, {}); }).find("has 423 rows, which no square grid"),
      std::string::npos);
  tensors.put(
      make_tensor("relative_position_bias_table", "F32", {422, 7}, std::vector<float>(422 * 7)));
  EXPECT_NE(error_of([&] { convert_checkpoint(tensors, {}); }).find("has 7 columns"),
            std::string::npos);
  NamedTensors absolute = official(small("absolute"), ModelParts::stage_text());
  EXPECT_NE(error_of([&] { convert_checkpoint(absolute, {}); }).find("give --heads"),
            std::string::npos);
  NamedTensors nothing = read_tensors(fixture("plain.pt"));
  EXPECT_NE(
      error_of([&] { convert_checkpoint(nothing, {}); }).find("expected a checkpoint of VLMo"),
      std::string::npos);
}

}  // namespace
}  // namespace mome
