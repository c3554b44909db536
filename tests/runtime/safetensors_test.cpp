#include "runtime/io/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

// What Python's safetensors 0.8.0 writes for {"w": float32 [[1.5, -2, 3]], "ids": int64 [7, -1],
// "flag": uint8 [1, 2, 255], "none": float64 of shape (0, 4)}, metadata {"format": "mome"}.
constexpr std::string_view kGoldenHeader =
    R"({"__metadata__":{"format":"mome"},"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
    R"("none":{"dtype":"F64","shape":[0,4],"data_offsets":[16,16]},)"
    R"("w":{"dtype":"F32","shape":[1,3],"data_offsets":[16,28]},)"
    R"("flag":{"dtype":"U8","shape":[3],"data_offsets":[28,31]}})";
constexpr std::string_view kGoldenData(
    "\x07\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
    "\0\0\xc0\x3f\0\0\0\xc0\0\0\x40\x40\x01\x02\xff",
    31);

class SafeTensorsTest : public testing::Test {
 protected:
  ~SafeTensorsTest() override { std::filesystem::remove(path_); }

  void write_raw(std::string_view header, std::string_view data) {
    std::string file(8, '\0');
    const uint64_t length = header.size();
    std::memcpy(file.data(), &length, 8);
    write_file_atomic(path_, file.append(header).append(data));
  }
  /// The error's text behind "FILE: ".
  std::string error_of(std::string_view header, std::string_view data) {
    write_raw(header, data);
    return error();
  }
  std::string error() {
    try {
      SafeTensors file(path_);
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.find(path_ + ": "), 0u) << message;
      return message.substr(path_.size() + 2);
    }
    return "(no error)";
  }
  const std::string path_ =
      testing::TempDir() + "mome_" + std::to_string(getpid()) + ".safetensors";
};

TEST_F(SafeTensorsTest, ReadsWhatPythonWrites) {
  std::string header(kGoldenHeader);
  header.resize(0x108, ' ');
  write_raw(header, kGoldenData);
  const SafeTensors file(path_);
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "mome"}}));
  const SafeTensors::View* w = file.find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->dtype, "F32");
  EXPECT_EQ(w->shape, (std::vector<int64_t>{1, 3}));
  const float expected[] = {1.5f, -2, 3};
  ASSERT_EQ(w->bytes, sizeof expected);
  EXPECT_EQ(std::memcmp(w->data, expected, sizeof expected), 0);
  const int64_t ids[] = {7, -1};
  ASSERT_EQ(file.find("ids")->bytes, sizeof ids);
  EXPECT_EQ(std::memcmp(file.find("ids")->data, ids, sizeof ids), 0);
  EXPECT_EQ(file.find("none")->elements, 0);
  EXPECT_EQ(static_cast<uint8_t>(file.find("flag")->data[2]), 255);
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(SafeTensorsTest, WritesTheSameBytesAsPython) {
  const float w[] = {1.5f, -2, 3};
  const int64_t ids[] = {7, -1};
  const uint8_t flag[] = {1, 2, 255};
  const TensorEntry entries[] = {{"flag", "U8", {3}, flag},
                                 {"ids", "I64", {2}, ids},
                                 {"w", "F32", {1, 3}, w},
                                 {"none", "F64", {0, 4}, nullptr}};
  write_safetensors(path_, entries, {{"format", "mome"}});
  std::string expected("\x08\x01\0\0\0\0\0\0", 8);
  expected.append(kGoldenHeader).resize(8 + 0x108, ' ');
  EXPECT_EQ(read_file(path_), expected.append(kGoldenData));
}

TEST_F(SafeTensorsTest, RoundTripsScalarsNamesAndAlignment) {
  const double scalar = -0.0;
  const std::vector<uint16_t> half(7, 0x3c01);
  const TensorEntry entries[] = {{"blocks.0.\"q\"\n\xc3\xa9", "BF16", {7, 1}, half.data()},
                                 {"", "F64", {}, &scalar}};
  write_safetensors(path_, entries, {});
  const SafeTensors file(path_);
  EXPECT_TRUE(file.metadata().empty());
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.find(entries[0].name)->shape, entries[0].shape);
  EXPECT_EQ(std::memcmp(file.find(entries[0].name)->data, half.data(), 14), 0);
  EXPECT_EQ(file.find("")->elements, 1);
  EXPECT_EQ(std::memcmp(file.find("")->data, &scalar, 8), 0);
  for (const auto& view : file.tensors())
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % safetensors_element_bytes(view.dtype), 0u);
  write_safetensors(path_, {}, {});
  EXPECT_TRUE(SafeTensors(path_).tensors().empty());
}

TEST_F(SafeTensorsTest, WriterRefusesWhatNoReaderTakesAndKeepsTheOldFile) {
  write_file_atomic(path_, "old");
  const float x[2] = {};
  const std::vector<std::vector<TensorEntry>> bad = {{{"a", "F32", {2}, x}, {"a", "F32", {2}, x}},
                                                     {{"__metadata__", "F32", {2}, x}},
                                                     {{"a", "F31", {2}, x}},
                                                     {{"a", "F32", {-1}, x}},
                                                     {{"a", "F32", {INT64_MAX, 3}, x}},
                                                     {{"\xff", "F32", {2}, x}}};
  for (const auto& entries : bad) EXPECT_THROW(write_safetensors(path_, entries, {}), Error);
  EXPECT_THROW(write_safetensors(path_, {}, {{"k", "\xff"}}), Error);
  EXPECT_EQ(read_file(path_), "old");
}

TEST_F(SafeTensorsTest, BrokenFilesAreErrorsThatSayWhatWasExpected) {
  const std::string data(8, 'x');
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data),
            "(no error)");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", data),
            "tensor `a`: 8 bytes, which is not what F32 of shape [3] takes");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", data),
            "tensor `a`: ends at byte 12, but the file has 8 bytes of data: cut short?");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                     R"("b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}})",
                     data),
            "tensor `b`: begins at byte 5, expected 4: tensors leave a hole");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                     R"("b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}})",
                     data),
            "tensor `b`: begins at byte 2, expected 4: tensors overlap");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}})", data),
            "8 bytes of data, but its tensors take 7");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F9","shape":[2],"data_offsets":[0,8]}})", data),
            "tensor `a`: no dtype `F9` is known");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[-8],"data_offsets":[0,8]}})", data),
            "tensor `a`: `shape`: expected non-negative integers, got [-8]");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
                     data),
            "tensor `a`: 8 bytes, which is not what U8 of shape [4294967296, 4294967296] takes");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[8,0]}})", data),
            "tensor `a`: `data_offsets`: expected [begin, end]");
  EXPECT_EQ(error_of(R"({"a":{"shape":[8],"data_offsets":[0,8]}})", data),
            "tensor `a`: expected a string `dtype`");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","data_offsets":[0,8]}})", data),
            "tensor `a`: expected an array `shape`");
  EXPECT_EQ(error_of(R"({"a":3})", data), "tensor `a`: expected an object");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                     R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                     data),
            "header: tensor `a` appears twice");
  EXPECT_EQ(error_of(R"({"__metadata__":{"k":1}})", ""), "metadata `k`: expected a string");
  EXPECT_EQ(error_of("[]", ""), "header: expected a JSON object");
  EXPECT_EQ(error_of("{\"a\":", "").substr(0, 21), "header: expected JSON");
}

TEST_F(SafeTensorsTest, AChecksumFindsEveryFlippedBit) {
  const std::vector<float> x = {1.5f, -2, 3};
  const std::vector<TensorEntry> entries = {{"x", "F32", {3}, x.data()}};
  const std::map<std::string, std::string> metadata = {{"a", "\"mome.crc32c\":\"12345678\""},
                                                       {"z", "mome.crc32c"}};
  write_safetensors(path_, entries, metadata);
  EXPECT_EQ(SafeTensors(path_).checksum(), Checksum::kNone);
  write_safetensors(path_, entries, metadata, {}, true);
  {
    const SafeTensors file(path_);
    EXPECT_EQ(file.checksum(), Checksum::kFits);
    EXPECT_EQ(file.metadata(), metadata);  // the checksum is not among what others copy
  }
  const std::string whole = read_file(path_);
  // Through a download, the same bytes.
  write_safetensors(
      path_, entries, metadata,
      [](void* to, const void* from, size_t n) { std::memcpy(to, from, n); }, true);
  EXPECT_EQ(read_file(path_), whole);
  int differs = 0, none = 0, unreadable = 0;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    std::ofstream(path_, std::ios::binary) << flipped;  // no need to sync each
    try {
      const Checksum checksum = SafeTensors(path_).checksum();
      EXPECT_NE(checksum, Checksum::kFits) << bit;
      ++(checksum == Checksum::kNone ? none : differs);
    } catch (const Error&) {
      ++unreadable;
    }
  }
  EXPECT_GE(differs, int(8 * (x.size() * sizeof(float) + 8)));
  EXPECT_LE(none, int(8 * (std::strlen(kChecksumKey) + 5)));  // its own name was hit
  EXPECT_GT(unreadable, 0);
  EXPECT_THROW(write_safetensors(path_, entries, {{kChecksumKey, "0"}}), Error);
}

TEST_F(SafeTensorsTest, EveryTruncationIsAnError) {
  write_raw(kGoldenHeader, kGoldenData);
  const std::string whole = read_file(path_);
  ASSERT_EQ(error(), "(no error)");
  for (size_t bytes = 0; bytes < whole.size(); bytes += bytes < 16 ? 1 : 7) {
    write_file_atomic(path_, std::string_view(whole).substr(0, bytes));
    EXPECT_NE(error(), "(no error)") << bytes;
  }
  EXPECT_EQ((write_file_atomic(path_, "abc"), error()),
            "3 bytes; a safetensors file has at least 8");
  EXPECT_EQ((write_file_atomic(path_, std::string(8, '\xff')), error()),
            "header of 18446744073709551615 bytes, but 0 follow: not a safetensors file, or cut "
            "short");
}

}  // namespace
}  // namespace mome
