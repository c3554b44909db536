// The zip container: what PyTorch writes is read in place, and nothing wrong with an archive is
// passed over. tests/runtime/torch_file_test.cpp reads archives of PyTorch itself.
#include "runtime/io/zip.h"

#include <gtest/gtest.h>

#include "runtime/core/error.h"
#include "tests/runtime/zip_bytes.h"

namespace mome {
namespace {

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string error_of(const std::string& archive) {
  try {
    const ZipFile zip("f", bytes(archive));
    for (const ZipEntry& entry : zip.entries()) zip.check_crc(entry);
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find("f: "), 0u) << message;
    return message.substr(3);
  }
  return "";
}

TEST(Crc32, CheckValuesOfTheStandard) {
  EXPECT_EQ(crc32(bytes("123456789")), 0xcbf43926u);
  EXPECT_EQ(crc32({}), 0u);
  const std::string text = "The quick brown fox jumps over the lazy dog";
  EXPECT_EQ(crc32(bytes(text)), 0x414fa339u);
  for (size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(crc32(bytes(text.substr(cut)), crc32(bytes(text.substr(0, cut)))), 0x414fa339u);
}

TEST(Zip, EntriesLieInTheFile) {
  for (const bool wide : {false, true}) {
    const std::string archive = zip_bytes({{.name = "a/", .data = ""},
                                           {.name = "a/one", .data = "first", .wide = wide},
                                           {.name = "a/two", .data = ""},
                                           {.name = "a/three", .data = std::string(300, 'x')}},
                                          wide);
    const ZipFile zip("f", bytes(archive));
    ASSERT_EQ(zip.entries().size(), 3u);
    const ZipEntry* one = zip.find("a/one");
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(reinterpret_cast<const char*>(zip.data(*one).data()),
              archive.data() + archive.find("first"));
    EXPECT_EQ(zip.data(*one).size(), 5u);
    EXPECT_EQ(zip.find("a/two")->packed.size(), 0u);
    EXPECT_EQ(zip.find("a/three")->packed.size(), 300u);
    EXPECT_EQ(zip.find("a"), nullptr);
    EXPECT_EQ(error_of(archive), "");
  }
  EXPECT_EQ(error_of(zip_bytes({})), "");
}

TEST(Zip, ACommentBehindTheEndIsAllowed) {
  std::string archive = zip_bytes({{.name = "a", .data = "x"}});
  archive[archive.size() - 2] = 3;
  EXPECT_EQ(error_of(archive + "abc"), "");
  EXPECT_NE(error_of(archive + "ab"), "");
}

TEST(Zip, WhatIsNotStoredPlainlyIsRefusedByName) {
  EXPECT_EQ(error_of(zip_bytes({{.name = "w", .data = "x", .method = 8}})),
            "entry `w` is compressed (deflate, method 8); only stored ones are read, as PyTorch "
            "writes them");
  EXPECT_EQ(error_of(zip_bytes({{.name = "w", .data = "x", .flags = 1}})),
            "entry `w` is encrypted; only plain ones are read");
}

TEST(Zip, DamageIsAnErrorThatNamesTheEntry) {
  const auto contains = [](const ZipBytesEntry& entry, const std::string& what) {
    const std::string error = error_of(zip_bytes({entry, {.name = "last", .data = "y"}}));
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  contains({.name = "w", .data = "x", .size_error = 1000}, "entry `w`: 1001 bytes at 0 end behind");
  contains({.name = "w", .data = "x", .wide = true, .size_error = INT64_MIN}, "entry `w`: ");
  contains({.name = "w", .data = "x", .wide = true, .size_error = -2}, "entry `w`: ");
  contains({.name = "w", .data = "x", .place_error = 7}, "entry `w`: no local header at byte 7");
  contains({.name = "w", .data = "x", .wide = true, .place_error = -1},
           "entry `w`: no local header");
  contains({.name = "w", .data = "x", .local_name = "v"}, "entry `w`: its local header is another");
  contains({.name = "last", .data = "x"}, "entry `last` appears twice");
  contains({.name = "w", .data = "x", .size_error = 40}, "entries `w` and `last` overlap");
  contains({.name = "w", .data = "x", .crc_error = 1}, "entry `w`: CRC-32");
}

TEST(Zip, EveryTruncationAndEveryFlippedByteIsHandled) {
  for (const bool wide : {false, true}) {
    const std::string whole = zip_bytes(
        {{.name = "a/one", .data = "first", .wide = wide}, {.name = "b", .data = "x"}}, wide);
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_NE(error_of(whole.substr(0, size)), "") << size;
    // A changed byte is an error or does not matter (dates); it is never a crash (run with ASan).
    for (size_t at = 0; at < whole.size(); ++at)
      for (const int flip : {1, 0x80, 0xff}) {
        std::string changed = whole;
        changed[at] = char(changed[at] ^ flip);
        error_of(changed);
      }
  }
}

}  // namespace
}  // namespace mome
