// Checkpoints that PyTorch wrote (tests/peers/write_torch_files.py made the files and says what is
// in them), and files that are none.
#include "runtime/io/torch_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "tests/runtime/zip_bytes.h"

namespace mome {
namespace {

using namespace std::string_literals;

std::string fixture(const std::string& name) {
  return std::string(MOME_SOURCE_DIR) + "/tests/runtime/torch_files/" + name;
}

template <class T>
std::vector<T> values(const TorchFile& file, const std::string& name) {
  const TensorView* view = file.find(name);
  EXPECT_NE(view, nullptr) << name;
  if (view == nullptr) return {};
  std::vector<T> out(size_t(view->elements));
  EXPECT_EQ(view->bytes, out.size() * sizeof(T)) << name;
  std::memcpy(out.data(), view->data, view->bytes);
  return out;
}

std::string error_of(const std::string& path) {
  try {
    const TorchFile file(path);
    file.verify();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find(path + ": "), 0u) << message;
    return message.substr(path.size() + 2);
  }
  return "";
}

TEST(TorchFile, AStateDictOfEveryDtype) {
  const TorchFile file(fixture("plain.pt"));
  file.verify();
  EXPECT_EQ(file.wrapper(), "");
  EXPECT_TRUE(file.ignored().empty());
  ASSERT_EQ(file.tensors().size(), 16u);
  EXPECT_EQ(file.tensors()[0].name, "0.weight");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(values<float>(file, "0.weight"), (std::vector<float>{0, .25f, .5f, .75f, 1, 1.25f}));
  EXPECT_EQ(values<float>(file, "1.bias"), (std::vector<float>{3, 3.25f}));
  using Bits = std::vector<uint16_t>;
  EXPECT_EQ(values<uint16_t>(file, "float16"), (Bits{0x4400, 0x4440, 0x4480, 0x44c0}));
  EXPECT_EQ(values<uint16_t>(file, "bfloat16"), (Bits{0x40a0, 0x40a8, 0x40b0, 0x40b8}));
  EXPECT_EQ(values<double>(file, "float64"), (std::vector<double>{6, 6.25, 6.5, 6.75}));
  EXPECT_EQ(values<int64_t>(file, "int64"), (std::vector<int64_t>{7, 8, 9, 10}));
  EXPECT_EQ(values<int32_t>(file, "int32"), (std::vector<int32_t>{8, 9, 10, 11}));
  EXPECT_EQ(values<int16_t>(file, "int16"), (std::vector<int16_t>{9, 10, 11, 12}));
  EXPECT_EQ(values<int8_t>(file, "int8"), (std::vector<int8_t>{10, 11, 12, 13}));
  EXPECT_EQ(values<uint8_t>(file, "uint8"), (std::vector<uint8_t>{11, 12, 13, 14}));
  EXPECT_EQ(values<uint8_t>(file, "bool"), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(values<float>(file, "scalar"), (std::vector<float>{2.6593f}));
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(values<float>(file, "parameter"), (std::vector<float>{12, 12.25f}));
  const char* dtypes[] = {"F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"};
  const char* names[] = {"float16", "bfloat16", "float64", "int64", "int32",
                         "int16",   "int8",     "uint8",   "bool"};
  for (int i = 0; i < 9; ++i) EXPECT_EQ(file.find(names[i])->dtype, dtypes[i]);
}

TEST(TorchFile, StridedTensorsBecomeRowMajor) {
  const TorchFile file(fixture("strided.pt"));
  const auto at = [](int n, int i) { return float(n) + 0.25f * float(i); };
  std::vector<float> transposed, columns, permuted;
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 4; ++j) transposed.push_back(at(1, j * 6 + i));
  for (int i = 0; i < 4; ++i)
    for (int j = 2; j < 5; ++j) columns.push_back(at(1, i * 6 + j));
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j) permuted.push_back(at(2, (i * 3 + j) * 4 + k));
  EXPECT_EQ(values<float>(file, "transposed"), transposed);
  EXPECT_EQ(values<float>(file, "columns"), columns);
  EXPECT_EQ(values<float>(file, "permuted"), permuted);
  EXPECT_EQ(file.find("permuted")->shape, (std::vector<int64_t>{4, 2, 3}));
  EXPECT_EQ(values<float>(file, "rows").front(), at(1, 6));
  EXPECT_EQ(values<float>(file, "one"), (std::vector<float>{3, 3.25f, 3.5f}));
  // Contiguous views share the mapped storage.
  EXPECT_EQ(file.find("rows")->data, file.find("whole")->data + 6 * sizeof(float));
}

TEST(TorchFile, Wrappers) {
  const std::vector<float> w = {1, 1.25f, 1.5f, 1.75f};
  const TorchFile lightning(fixture("lightning.ckpt"));
  EXPECT_EQ(lightning.wrapper(), "state_dict");
  ASSERT_EQ(lightning.tensors().size(), 1u);
  EXPECT_EQ(values<float>(lightning, "module.w"), w);
  const TorchFile deepspeed(fixture("deepspeed.pt"));
  EXPECT_EQ(deepspeed.wrapper(), "module");
  EXPECT_EQ(values<uint16_t>(deepspeed, "module.w"),
            (std::vector<uint16_t>{0x3c00, 0x3d00, 0x3e00, 0x3f00}));
  const TorchFile beit(fixture("beit.pth"));
  EXPECT_EQ(beit.wrapper(), "model");
  EXPECT_EQ(values<float>(beit, "w"), w);
  const TorchFile no_crc(fixture("no_crc.pt"));
  no_crc.verify();
  EXPECT_EQ(values<float>(no_crc, "w"), w);
}

TEST(TorchFile, WhatIsNoStateDictIsNamed) {
  EXPECT_EQ(error_of(fixture("legacy.pt")),
            "a PyTorch file of the format from before version 1.6. Save it anew with PyTorch: "
            "torch.save(torch.load(OLD, map_location=\"cpu\", weights_only=True), NEW)");
  EXPECT_EQ(error_of(fixture("protocol4.pt")),
            "protocol4/data.pkl: byte 0: a pickle of protocol 4; expected 2, torch.save's default");
  EXPECT_EQ(error_of(fixture("script.pt")),
            "a TorchScript program, not a state dict; expected what torch.save(model.state_dict()) "
            "writes");
  EXPECT_EQ(error_of(fixture("numbers.pt")),
            "no tensors in its state dict; its keys are: epoch, loss");
  EXPECT_EQ(error_of(fixture("tensor.pt")), "holds no dict; expected a state dict");
  EXPECT_EQ(error_of(fixture("expanded.pt")),
            "tensor `e`: shape [1000] has more elements than its storage (1): save a .clone() of "
            "it");
  EXPECT_NE(error_of(fixture("whole_model.pt")).find("`torch.nn.modules.linear.Linear` is refused"),
            std::string::npos);
  EXPECT_NE(error_of(fixture("deflated.pt")).find("is compressed (deflate"), std::string::npos);
  EXPECT_EQ(error_of(fixture("../torch_file_test.cpp")), "not a file that torch.save wrote");
  EXPECT_NE(error_of(fixture("absent.pt")).find("cannot open"), std::string::npos);
  EXPECT_NE(error_of(fixture("")).find("not a folder"), std::string::npos);
  EXPECT_TRUE(looks_like_torch(fixture("plain.pt")));
  EXPECT_TRUE(looks_like_torch(fixture("legacy.pt")));
  EXPECT_FALSE(looks_like_torch(fixture("../torch_file_test.cpp")));
  EXPECT_FALSE(looks_like_torch(fixture("absent.pt")));
}

class TorchFileBytes : public testing::Test {
 protected:
  ~TorchFileBytes() override { std::filesystem::remove(path_); }
  std::string error(const std::string& content) {
    write_file_atomic(path_, content);
    return error_of(path_);
  }
  const std::string path_ = testing::TempDir() + "mome_" + std::to_string(getpid()) + ".pt";
};

TEST_F(TorchFileBytes, EveryTruncationIsAnError) {
  const std::string whole = read_file(fixture("lightning.ckpt"));
  ASSERT_EQ(error(whole), "");
  for (size_t size = 0; size < whole.size(); size += size < 8 ? 1 : 61)
    EXPECT_NE(error(whole.substr(0, size)), "") << size;
  EXPECT_EQ(error(whole.substr(0, 1000)),
            "the zip archive's end record is missing: the file is cut short");
}

TEST_F(TorchFileBytes, EveryChangedByteIsHandled) {
  // An error or a harmless difference, never a crash or a read out of bounds (run with ASan). The
  // sums are left out of this file, so that damage reaches the pickle and the tensors.
  const std::string whole = read_file(fixture("no_crc.pt"));
  for (size_t at = 0; at < whole.size(); ++at)
    for (const int flip : {1, 0x40, 0xff}) {
      std::string changed = whole;
      changed[at] = char(changed[at] ^ flip);
      std::ofstream(path_, std::ios::binary) << changed;
      try {
        const TorchFile file(path_);
        int sum = 0;
        for (const TensorView& view : file.tensors())
          for (size_t i = 0; i < view.bytes; ++i) sum += int(view.data[i]);
        EXPECT_GE(sum, 0);
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()), "");
      }
    }
}

TEST_F(TorchFileBytes, DamagedTensorsAreFoundByVerify) {
  std::string content = read_file(fixture("beit.pth"));
  const float first[] = {1, 1.25f};
  const size_t at = content.find(std::string(reinterpret_cast<const char*>(first), 8));
  ASSERT_NE(at, std::string::npos);
  content[at] = 1;
  EXPECT_NE(error(content).find("entry `beit/data/0`: CRC-32"), std::string::npos);
}

// {"w": a tensor of a storage of `elements` floats, with offset, sizes and strides as pickled}
std::string tensor_pickle(const std::string& elements, const std::string& geometry) {
  return "\x80\x02}X\x01\0\0\0w"
         "ctorch._utils\n_rebuild_tensor_v2\n("
         "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
         "0X\x03\0\0\0cpu"s +
         elements + "tQ" + geometry + "\x89}tRs.";
}

TEST_F(TorchFileBytes, TensorsStayWithinTheirStorage) {
  const std::string four = "K\x04", storage(16, 'x');
  const auto broken = [&](const std::string& elements, const std::string& geometry) {
    return error(torch_bytes(tensor_pickle(elements, geometry), storage));
  };
  EXPECT_EQ(broken(four, "K\0K\x02K\x02\x86K\x02K\x01\x86"s), "");
  EXPECT_EQ(broken(four, "K\x01K\x02K\x02\x86K\x02K\x01\x86"s),
            "tensor `w`: shape [2, 2] with strides [2, 1] at 1 leaves its storage of 4 elements");
  EXPECT_EQ(broken(four, "K\0K\x02K\x02\x86K\x03K\x01\x86"s),
            "tensor `w`: shape [2, 2] with strides [3, 1] at 0 leaves its storage of 4 elements");
  EXPECT_EQ(broken("K\x05", "K\0K\x02K\x02\x86K\x02K\x01\x86"s),
            "tensor `w`: its storage `a/data/0` has 16 bytes, expected 5 elements of F32");
  EXPECT_EQ(broken(four, "K\0J\xff\xff\xff\xff\x85K\x01\x85"s),
            "tensor `w`: impossible shape [-1] with strides [1] at 0");
  EXPECT_EQ(broken(four, "J\xff\xff\xff\xffK\x02\x85K\x01\x85"s),
            "tensor `w`: impossible shape [2] with strides [1] at -1");
  EXPECT_EQ(broken(four, "K\0K\x02\x85K\x02K\x01\x86"s),
            "tensor `w`: impossible shape [2] with strides [2, 1] at 0");
  const std::string huge("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  EXPECT_EQ(
      broken(four, "K\0"s + huge + huge + "\x86K\x01K\x01\x86"),
      fmt::format("tensor `w`: impossible shape [{0}, {0}] with strides [1, 1] at 0", INT64_MAX));
  EXPECT_EQ(
      broken(four, "K\0K\x03K\x02\x86"s + huge + "K\x01\x86"),
      fmt::format("tensor `w`: impossible shape [3, 2] with strides [{}, 1] at 0", INT64_MAX));
  EXPECT_EQ(error(zip_bytes(
                {{.name = "a/data.pkl", .data = tensor_pickle(four, "K\0K\x02\x85K\x01\x85"s)}})),
            "tensor `w`: its storage `a/data/0` is missing");
  EXPECT_EQ(error(zip_bytes({{.name = "a/data.txt", .data = "x"}})),
            "a zip archive without NAME/data.pkl; expected a file that torch.save wrote");
  EXPECT_EQ(error(zip_bytes({{.name = "a/data.pkl", .data = "\x80\x02}."},
                             {.name = "a/byteorder", .data = "big"}})),
            "entry `a/byteorder` says big; only little-endian files are read");
}

}  // namespace
}  // namespace mome
