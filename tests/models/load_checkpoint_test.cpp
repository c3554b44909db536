// One way to read weights: PyTorch's files in their wrappers, every dtype of floats, and what
// follows another image size, text length or number of types. The vlmo_* files are of
// tests/peers/write_torch_files.py: element k of tensor n is n + k / 4.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "models/checkpoints/positions.h"
#include "models/checkpoints/shape.h"
#include "models/evaluation/retrieval.h"
#include "models/stages/checkpoint.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"
#include "runtime/optim/optimizer.h"
#include "tests/runtime/zip_bytes.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

std::string fixture(const std::string& name) {
  return std::string(MOME_SOURCE_DIR) + "/tests/runtime/torch_files/" + name;
}

/// The model of the vlmo_* files.
ModelConfig small(const std::string& positions = "relative") {
  ModelConfig c;
  c.image_size = 12, c.patch = 4, c.width = 8, c.heads = 2, c.layers = 2, c.vl_from = 1;
  c.mlp_ratio = 2, c.text_length = 7, c.vocabulary = 11, c.positions = positions;
  return c;
}

ModelParts of_image_pairs() {
  ModelParts parts;
  parts.image = parts.text = parts.fused = parts.nlvr2 = true;
  return parts;
}

std::vector<float> values(const MomeModel& model, const std::string& name) {
  const Tensor t = model.parameters().value(model.parameters().find(name));
  return {t.as<float>(), t.as<float>() + t.count()};
}

std::vector<float> values(const NamedTensors& file, const std::string& name) {
  const std::vector<double> wide = float_values(file, file.at(name));
  return {wide.begin(), wide.end()};
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

class LoadCheckpoint : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  ~LoadCheckpoint() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  /// Writes a model of initial values and returns its file.
  std::string saved(const ModelConfig& c, const ModelParts& parts, uint64_t seed = 3) const {
    MomeModel model(c, parts);
    model.parameters().initialize(seed);
    const int table = model.parameters().find(kTableName);  // starts as zeros
    if (table >= 0)
      for (int64_t i = 0; i < model.parameters()[table].count; ++i)
        model.parameters().value(table).as<float>()[i] = 0.01f * float(i % 97);
    save_weights(model, path("saved"), false, {});
    return path("saved");
  }
  const std::string folder_ = testing::TempDir() + "mome_load_" + std::to_string(getpid());
};

TEST_F(LoadCheckpoint, PyTorchFilesInTheirWrappers) {
  const NamedTensors reference = read_tensors(fixture("vlmo_lightning.ckpt"));
  for (const char* name : {"vlmo_plain.pt", "vlmo_lightning.ckpt", "vlmo_deepspeed.pt"}) {
    LoadReport report;  // of f64, f32 and f16: all of these values are exact in 16 bits
    const auto model = open_checkpoint(fixture(name), {}, &report);
    EXPECT_EQ(describe({model->config(), model->parts()}),
              describe({small(), ModelParts::stage_pairs()}))
        << name;
    for (const Parameter& p : model->parameters().list())
      EXPECT_EQ(values(*model, p.name), values(reference, p.name)) << name << ": " << p.name;
    EXPECT_TRUE(report.fresh.empty());
    EXPECT_EQ(std::count(report.unused.begin(), report.unused.end(), kTextPositionsName), 1);
    EXPECT_EQ(std::count(report.unused.begin(), report.unused.end(), "relative_position_index"), 1);
    MomeModel started(small(), ModelParts::stage_pairs());
    load_weights(started, fixture(name), {});
    for (const Parameter& p : started.parameters().list())
      EXPECT_EQ(values(started, p.name), values(*model, p.name)) << name << ": " << p.name;
  }
  const auto wide = open_checkpoint(fixture("vlmo_deepspeed.pt"), {.dtype = DType::kF64});
  const int bias = wide->parameters().find("mlm_score.bias");
  const int there = int(values(reference, "mlm_score.bias")[0]);
  EXPECT_EQ(wide->parameters().value(bias).as<double>()[3], there + 0.75);
}

TEST_F(LoadCheckpoint, OtherDtypesAreRounded) {
  NamedTensors tensors = read_tensors(saved(small(), ModelParts::stage_text()));
  tensors.put(make_tensor<double>("mlm_score.bias", "F64", {11},
                                  std::vector<double>(11, 1 + 0x1p-24 + 0x1p-40)));
  std::vector<TensorEntry> list;
  for (const NamedTensor& t : tensors.list) list.push_back({t.name, t.dtype, t.shape, t.data});
  write_safetensors(path("wide"), list, tensors.metadata);
  EXPECT_EQ(values(*open_checkpoint(path("wide")), "mlm_score.bias")[10], 1 + 0x1p-23f);
  const std::vector<double> huge(11, 1e39);
  for (TensorEntry& t : list)
    if (t.name == "mlm_score.bias") t.data = huge.data();
  write_safetensors(path("huge"), list, tensors.metadata);
  EXPECT_NE(error_of([&] { open_checkpoint(path("huge")); }).find("is too large for F32"),
            std::string::npos);
  const std::vector<int64_t> whole(11, 1);
  for (TensorEntry& t : list)
    if (t.name == "mlm_score.bias") t.dtype = "I64", t.data = whole.data();
  write_safetensors(path("whole"), list, tensors.metadata);
  EXPECT_NE(error_of([&] {
              open_checkpoint(path("whole"));
            }).find("mlm_score.bias: I64, expected F32, F16, BF16 or F64"),
            std::string::npos);
}

TEST_F(LoadCheckpoint, PositionsFollowTheImageSize) {
  for (const std::string positions : {"relative", "absolute"}) {
    const std::string file = saved(small(positions), ModelParts::stage_pairs());
    const char* name = positions == "relative" ? kTableName : kImagePositionsName;
    NamedTensors expected = read_tensors(file);
    resize_image_positions(expected, 3, 5);
    ModelConfig larger = small(positions);
    larger.image_size = 20;
    MomeModel model(larger, ModelParts::stage_pairs());
    const LoadReport report = load_weights(model, file, {});
    ASSERT_EQ(report.resized.size(), 1u);
    EXPECT_EQ(report.resized[0], positions == "relative"
                                     ? std::string(name) + ": [422, 4] to [478, 4]"
                                     : std::string(name) + ": [1, 10, 8] to [1, 26, 8]");
    for (const Parameter& p : model.parameters().list())
      EXPECT_EQ(values(model, p.name), values(expected, p.name)) << p.name;
    const auto opened = open_checkpoint(file, {.image_size = 20});
    EXPECT_EQ(values(*opened, name), values(model, name));
    EXPECT_EQ(opened->config().image_size, 20);
    EXPECT_NE(values(*opened, name), values(*open_checkpoint(file), name));
  }
  EXPECT_THROW(open_checkpoint(path("saved"), {.image_size = 21}), UsageError);
}

TEST_F(LoadCheckpoint, LongerTextsAreCutAndShorterOnesNotStretched) {
  const std::string file = saved(small("absolute"), ModelParts::stage_text());
  ModelConfig shorter = small("absolute"), longer = shorter;
  shorter.text_length = 4, longer.text_length = 9;
  MomeModel model(shorter, ModelParts::stage_text()), stretched(longer, ModelParts::stage_text());
  EXPECT_EQ(load_weights(model, file, {}).resized,
            (std::vector<std::string>{std::string(kTextPositionsName) + ": [7, 8] to [4, 8]"}));
  std::vector<float> rows = values(read_tensors(file), kTextPositionsName);
  rows.resize(32);
  EXPECT_EQ(values(model, kTextPositionsName), rows);
  EXPECT_EQ(values(*open_checkpoint(file, {.text_length = 4}), kTextPositionsName), rows);
  EXPECT_NE(error_of([&] {
              load_weights(stretched, file);
            }).find(std::string(kTextPositionsName) + ": [7, 8], expected [9, 8]"),
            std::string::npos);
}

TEST_F(LoadCheckpoint, TheThirdTypeIsACopyOfTheSecond) {
  std::string file = saved(small(), ModelParts::stage_pairs());
  MomeModel pairs(small(), of_image_pairs());
  pairs.parameters().initialize(9);
  const LoadReport report = load_weights(pairs, file, {"nlvr2_classifier.*"});
  EXPECT_EQ(report.fresh.size(), 6u);
  EXPECT_EQ(report.resized,
            (std::vector<std::string>{std::string(kTypesName) + ": [2, 8] to [3, 8]"}));
  std::vector<float> types = values(read_tensors(file), kTypesName), three = types;
  three.insert(three.end(), types.begin() + 8, types.end());
  EXPECT_EQ(values(pairs, kTypesName), three);
  save_weights(pairs, path("pairs"), false, {});
  EXPECT_EQ(values(*open_checkpoint(path("pairs")), kTypesName), three);
  MomeModel back(small(), ModelParts::stage_pairs());  // and is dropped on the way back
  EXPECT_EQ(load_weights(back, path("pairs")).unused.size(), 6u);
  EXPECT_EQ(values(back, kTypesName), types);
}

TEST_F(LoadCheckpoint, BeitStartsAModel) {
  ModelConfig c = small();
  c.image_size = 20;
  MomeModel model(c, ModelParts::stage_text());
  model.parameters().initialize(5);
  const std::vector<float> word = values(model, "text_embeddings.word_embeddings.weight");
  const LoadReport report = load_weights(model, fixture("beit_fine_tuned.pth"));
  const NamedTensors beit = read_tensors(fixture("beit_fine_tuned.pth"));
  EXPECT_EQ(values(model, "transformer.blocks.1.mlp_imag.fc2.weight"),
            values(beit, "blocks.1.mlp.fc2.weight"));
  EXPECT_EQ(values(model, "text_embeddings.word_embeddings.weight"), word);
  EXPECT_EQ(report.resized.size(), 1u);
  EXPECT_EQ(std::count(report.unused.begin(), report.unused.end(), "head.weight"), 1);
}

TEST_F(LoadCheckpoint, WhatIsMissingIsListedUnlessItMayBe) {
  NamedTensors tensors = read_tensors(saved(small(), ModelParts::stage_pairs()));
  std::vector<TensorEntry> list;
  for (const NamedTensor& t : tensors.list)
    if (t.name != "pooler.dense.bias" && t.name != "itm_score.fc.bias")
      list.push_back({t.name, t.dtype, t.shape, t.data});
  write_safetensors(path("less"), list, tensors.metadata);
  const std::string both = "missing (2):\n  pooler.dense.bias\n  itm_score.fc.bias";
  EXPECT_NE(error_of([&] { open_checkpoint(path("less")); }).find(both), std::string::npos);
  MomeModel model(small(), ModelParts::stage_pairs());
  model.parameters().initialize(8);
  const std::vector<float> before = values(model, kTypesName);
  const std::string error =
      error_of([&] { load_weights(model, path("less"), {"pooler.*"}, "try harder"); });
  EXPECT_EQ(error.find(path("less")), 0u) << error;
  EXPECT_NE(error.find("missing (1):\n  itm_score.fc.bias\ntry harder"), std::string::npos)
      << error;
  EXPECT_EQ(values(model, kTypesName), before);  // nothing was changed
  EXPECT_EQ(load_weights(model, path("less"), {"pooler.*", "itm*"}).fresh,
            (std::vector<std::string>{"pooler.dense.bias", "itm_score.fc.bias"}));
  EXPECT_EQ(values(model, kTypesName), values(tensors, kTypesName));
}

TEST_F(LoadCheckpoint, MaliciousPicklesAreRefusedAndNotRun) {
  const std::string command = "touch " + path("ran");
  const std::string call =
      "cos\nsystem\nX"s + char(command.size() % 256) + "\0\0\0"s + command + "\x85R";
  ASSERT_LT(command.size(), 256u);
  write_file_atomic(path("bad.pt"), torch_bytes("\x80\x02}X\1\0\0\0w"s + call + "s."));
  MomeModel model(small(), ModelParts::stage_pairs());
  for (const std::string& error : {error_of([&] { open_checkpoint(path("bad.pt")); }),
                                   error_of([&] { load_weights(model, path("bad.pt")); })}) {
    EXPECT_EQ(error.find(path("bad.pt")), 0u) << error;
    EXPECT_NE(error.find("the name `os.system` is refused"), std::string::npos) << error;
  }
  EXPECT_FALSE(fs::exists(path("ran")));
}

TEST_F(LoadCheckpoint, TruncatedFilesAreErrors) {
  for (const std::string& whole : {read_file(fixture("vlmo_lightning.ckpt")),
                                   read_file(saved(small(), ModelParts::stage_pairs()))})
    for (size_t eighths = 0; eighths < 8; ++eighths) {
      write_file_atomic(path("short"), whole.substr(0, whole.size() * eighths / 8));
      const std::string error = error_of([&] { open_checkpoint(path("short")); });
      EXPECT_EQ(error.find(path("short")), 0u) << eighths << ": " << error;
    }
}

/// Features of two images and a text, to their bits.
std::vector<float> features(MomeModel& model) {
  Batch batch;
  batch.size = 2;
  batch.image_size = 12;
  for (int i = 0; i < 2 * 12 * 12 * 3; ++i) batch.images.push_back(uint8_t(i * 37 % 251));
  batch.tokens = {2, 7, 9, 3, 2, 10, 3};
  batch.text_begin = {0, 4, 7};
  batch.image_ids = batch.caption_ids = {0, 1};
  batch.records = {0, 1};
  Arena arena;
  std::vector<float> out;
  append_image_features(model, batch, arena, out);
  append_text_features(model, batch, arena, out);
  return out;
}

TEST_F(LoadCheckpoint, AnOpenedModelIsAViewOfItsFile) {
  const std::string file = saved(small(), ModelParts::stage_pairs());
  MomeModel copied(small(), ModelParts::stage_pairs());
  load_weights(copied, file, {});
  const std::vector<float> expected = features(copied);
  ASSERT_EQ(expected.size(), 32u);
  const auto opened = open_checkpoint(file);
  const ParameterSet& p = opened->parameters();
  uintptr_t first = UINTPTR_MAX, last = 0;
  for (int i = 0; i < int(p.list().size()); ++i) {
    ASSERT_TRUE(p.adopted(i)) << p[i].name;
    EXPECT_FALSE(copied.parameters().adopted(i));
    const auto begin = reinterpret_cast<uintptr_t>(p.value(i).data);
    first = std::min(first, begin), last = std::max(last, begin + p.value(i).bytes());
  }
  EXPECT_LE(last - first, fs::file_size(file));  // side by side, without the arena's padding
  EXPECT_EQ(features(*opened), expected);
  // Another file in the old one's place, and none: this model has the old one.
  saved(small(), ModelParts::stage_pairs(), 4);
  EXPECT_EQ(features(*opened), expected);
  EXPECT_NE(features(*open_checkpoint(file)), expected);
  fs::remove(file);
  EXPECT_EQ(features(*opened), expected);
  const auto torch = open_checkpoint(fixture("vlmo_lightning.ckpt"));  // PyTorch's are aligned too
  EXPECT_TRUE(torch->parameters().adopted(0));
}

TEST_F(LoadCheckpoint, WhatCannotBeViewedIsCopied) {
  const auto adopted = [](const MomeModel& model) {
    int64_t n = 0;
    for (int i = 0; i < int(model.parameters().list().size()); ++i)
      n += model.parameters().adopted(i);
    return n;
  };
  EXPECT_EQ(adopted(*open_checkpoint(fixture("vlmo_deepspeed.pt"))), 0);  // F16
  EXPECT_EQ(adopted(*open_checkpoint(fixture("vlmo_plain.pt"))), 0);      // F64
  EXPECT_GT(adopted(*open_checkpoint(fixture("vlmo_plain.pt"), {.dtype = DType::kF64})), 0);
  EXPECT_EQ(adopted(*open_checkpoint(fixture("vlmo_lightning.ckpt"), {.dtype = DType::kF64})), 0);
  const auto device = Device::simt({.lazy = true});
  EXPECT_EQ(adopted(*open_checkpoint(fixture("vlmo_lightning.ckpt"), {.device = device.get()})), 0);
  // A header one byte longer, as no careful writer makes it: no element is aligned.
  const std::string file = saved(small(), ModelParts::stage_pairs());
  const auto aligned = open_checkpoint(file);
  std::string bytes = read_file(file);
  uint64_t header;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes.insert(8 + header++, " ");
  std::memcpy(bytes.data(), &header, sizeof header);
  write_file_atomic(path("odd"), bytes);
  const auto odd = open_checkpoint(path("odd"));
  EXPECT_EQ(adopted(*odd), 0);
  EXPECT_EQ(features(*odd), features(*aligned));
}

TEST_F(LoadCheckpoint, AnOpenedModelIsNeverWritten) {
  const std::string file = saved(small(), ModelParts::stage_pairs());
  const std::string before = read_file(file);
  const auto opened = open_checkpoint(file);
  ParameterSet& p = opened->parameters();
  EXPECT_THROW(p.initialize(1), std::logic_error);
  EXPECT_THROW(p.keep_average(), std::logic_error);
  EXPECT_THROW(p.values(), std::logic_error);
  EXPECT_THROW(load_weights(*opened, file), std::logic_error);
  EXPECT_THROW(opened->copy_language_experts(), std::logic_error);
  Optimizer optimizer(p, {});
  EXPECT_THROW(optimizer.step(), std::logic_error);
  save_weights(*opened, path("again"), false, {});
  EXPECT_EQ(read_file(path("again")), before);
}

}  // namespace
}  // namespace mome
