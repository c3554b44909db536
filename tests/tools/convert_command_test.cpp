// `mome convert` and `mome info` as a user runs them, on files of PyTorch.
#include <nlohmann/json.hpp>

#include "models/checkpoints/shape.h"
#include "models/checkpoints/tensors.h"
#include "tests/runtime/zip_bytes.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

class ConvertCommand : public ProgramTest {};

std::string fixture(const std::string& name) {
  return std::string(MOME_SOURCE_DIR) + "/tests/runtime/torch_files/" + name;
}

TEST_F(ConvertCommand, BeitToSafetensorsAtAnotherSize) {
  const Result r = mome({"convert", fixture("beit_fine_tuned.pth"), path("out.safetensors"),
                         "--to-image-size", "20", "--index-buffers", "--dtype", "bf16"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("BEiT's names, 2 layers, width 8, 2 heads, relative positions, images of 20 "
                       "pixels"),
            std::string::npos)
      << r.out;
  EXPECT_NE(r.out.find("dropped (5):\n  fc_norm.weight\n"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("missing, will start fresh (3):\n  transformer.norm.weight\n"),
            std::string::npos)
      << r.out;
  const NamedTensors tensors = read_tensors(path("out.safetensors"));
  EXPECT_EQ(tensors.at("relative_position_bias_table").dtype, "BF16");
  EXPECT_EQ(tensors.at("relative_position_index").shape, (std::vector<int64_t>{26, 26}));
  EXPECT_EQ(infer_shape(tensors).config.image_size, 20);
  // A file of the program converts to itself, byte for byte.
  ASSERT_EQ(mome({"convert", path("out.safetensors"), path("again"), "--index-buffers",
                  "--allow-missing"})
                .code,
            0);
  EXPECT_EQ(read_file(path("out.safetensors")), read_file(path("again")));
}

TEST_F(ConvertCommand, HostileAndBrokenFilesAreRefusedAndNothingIsWritten) {
  const std::string marker = path("ran");
  std::string pickle =
      "\x80\x02"
      "cposix\nsystem\nX";
  const std::string touch = "touch " + marker;
  pickle += char(touch.size());
  pickle += std::string(3, '\0') + touch + "\x85R.";
  write_file_atomic(path("evil.pt"), torch_bytes(pickle));
  Result r = mome({"convert", path("evil.pt"), path("out")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(
      r.err.find(path("evil.pt") + ": a/data.pkl: byte 2: the name `posix.system` is refused"),
      std::string::npos)
      << r.err;
  EXPECT_FALSE(std::filesystem::exists(marker));
  EXPECT_EQ(mome({"info", path("evil.pt")}).code, 1);

  const std::string whole = read_file(fixture("beit_fine_tuned.pth"));
  write_file_atomic(path("cut.pt"), whole.substr(0, whole.size() / 2));
  r = mome({"convert", path("cut.pt"), path("out")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("the file is cut short"), std::string::npos) << r.err;
  std::string damaged = whole;
  const float first[] = {1, 1.25f, 1.5f};  // of the second tensor
  const size_t at = damaged.find(std::string(reinterpret_cast<const char*>(first), sizeof first));
  ASSERT_NE(at, std::string::npos);
  damaged[at] = 1;
  write_file_atomic(path("damaged.pt"), damaged);
  r = mome({"convert", path("damaged.pt"), path("out")});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.err.find("damaged"), std::string::npos) << r.err;
  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(ConvertCommand, WrongUse) {
  const std::string in = fixture("beit_fine_tuned.pth");
  EXPECT_EQ(mome({"convert", in}).code, 2);
  EXPECT_EQ(mome({"convert", in, path("out"), "--dtype", "f8"}).code, 2);
  EXPECT_EQ(mome({"convert", in, path("out"), "--from", "vit"}).code, 2);
  EXPECT_EQ(mome({"convert", in, path("out"), "--to-image-size", "21"}).code, 2);
  EXPECT_EQ(mome({"convert", in, path("out"), "--text-length", "300"}).code, 2);
  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(ConvertCommand, InfoListsFilesOfPyTorch) {
  const Result r = mome({"info", "--json", fixture("plain.pt")});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto json = nlohmann::json::parse(r.out);
  EXPECT_EQ(json["tensors"].size(), 16u);
  EXPECT_EQ(json["tensors"][0]["name"], "0.weight");
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<int>{2, 3}));
}

}  // namespace
}  // namespace mome
