#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernels/common/philox.h"
#include "runtime/core/error.h"
#include "runtime/image/decode.h"
#include "runtime/image/jpeg_check.h"
#include "runtime/image/png.h"

namespace mome {
namespace {

using Bytes = std::vector<uint8_t>;

Image picture(int width, int height) {
  RandomStream random(6, 0, Purpose::kTest, 0);
  Image image{width, height, Bytes(size_t(width) * height * 3)};
  for (uint8_t& v : image.pixels) v = uint8_t(random.below(256));
  return image;
}

// libjpeg's (Pillow's) baseline JPEG of an 8 x 8 picture of one colour, RGB (200, 60, 20), 4:4:4.
#include "tests/runtime/image_tiny_jpeg.inc"

// PNG by hand, zlib's stored blocks, so that any colour type and depth can be tested. stb checks
// neither CRC nor Adler-32, hence zeros there.
void put32(Bytes& to, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(uint8_t(v >> shift));
}
void chunk(Bytes& to, const std::string& type, const Bytes& data) {
  put32(to, uint32_t(data.size()));
  to.insert(to.end(), type.begin(), type.end());
  to.insert(to.end(), data.begin(), data.end());
  put32(to, 0);
}
Bytes png(uint32_t width, uint32_t height, int depth, int colour, const Bytes& rows,
          const Bytes& transparent = {}) {
  Bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, header, data = {0x78, 1, 1};
  put32(header, width);
  put32(header, height);
  for (int v : {depth, colour, 0, 0, 0}) header.push_back(uint8_t(v));
  chunk(out, "IHDR", header);
  if (!transparent.empty()) chunk(out, "tRNS", transparent);
  const uint16_t n = uint16_t(rows.size());
  for (int v : {n & 255, n >> 8, ~n & 255, (~n >> 8) & 255}) data.push_back(uint8_t(v));
  data.insert(data.end(), rows.begin(), rows.end());
  put32(data, 0);
  chunk(out, "IDAT", data);
  chunk(out, "IEND", {});
  return out;
}

std::string message(const Bytes& bytes) {
  try {
    decode_image(bytes, "shard-7/cat.png");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Decode, PngRoundTripIsExact) {
  for (const auto& [w, h] : {std::pair{1, 1}, {5, 3}, {64, 47}}) {
    const Image image = picture(w, h), back = decode_image(encode_png(image), "memory");
    EXPECT_EQ(back.width, w);
    EXPECT_EQ(back.height, h);
    EXPECT_EQ(back.pixels, image.pixels);
  }
}

TEST(Decode, JpegOfOneColour) {
  const Image image = decode_image(kTinyJpeg, "memory");
  ASSERT_EQ(image.width, 8);
  ASSERT_EQ(image.height, 8);
  // Quantisation of the mean at quality 95 (step 2 of 8 x level: 1/4 level) and two roundings
  // through YCbCr, whose largest factor is 1.772.
  for (size_t i = 0; i < image.pixels.size(); ++i)
    EXPECT_NEAR(image.pixels[i], (std::array{200, 60, 20})[i % 3], 3);
}

TEST(Decode, EveryChannelCount) {
  // Rows begin with filter 0.
  const Image grey = decode_image(png(2, 1, 8, 0, {0, 7, 200}), "grey");
  EXPECT_EQ(grey.pixels, (Bytes{7, 7, 7, 200, 200, 200}));
  const Image grey_alpha = decode_image(png(3, 1, 8, 4, {0, 7, 255, 7, 0, 100, 51}), "grey alpha");
  // 100 * 0.2 + 255 * 0.8 = 224
  EXPECT_EQ(grey_alpha.pixels, (Bytes{7, 7, 7, 255, 255, 255, 224, 224, 224}));
  const Image rgb = decode_image(png(1, 2, 8, 2, {0, 1, 2, 3, 0, 4, 5, 6}), "rgb");
  EXPECT_EQ(rgb.pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  const Image rgba = decode_image(png(1, 2, 8, 6, {0, 0, 100, 255, 102, 0, 9, 8, 7, 255}), "rgba");
  // Alpha 0.4 on white: 0.4 v + 153
  EXPECT_EQ(rgba.pixels, (Bytes{153, 193, 255, 9, 8, 7}));
  // A colour declared transparent after the header said RGB.
  const Image key = decode_image(png(2, 1, 8, 2, {0, 1, 2, 3, 4, 5, 6}, {0, 1, 0, 2, 0, 3}), "key");
  EXPECT_EQ(key.pixels, (Bytes{255, 255, 255, 4, 5, 6}));
}

TEST(Decode, SixteenBitKeepsUpperByte) {
  const Image image = decode_image(png(1, 1, 16, 2, {0, 0x12, 0xff, 0x80, 0, 0xfe, 0x7f}), "16");
  EXPECT_EQ(image.pixels, (Bytes{0x12, 0x80, 0xfe}));
}

TEST(Decode, EveryPrefixIsAnError) {
  for (const Bytes& whole : {encode_png(picture(6, 5)), png(40, 3, 8, 0, Bytes(123, 0)),
                             Bytes(kTinyJpeg.begin(), kTinyJpeg.end())}) {
    ASSERT_NO_THROW(decode_image(whole, "whole"));
    for (size_t n = 0; n < whole.size(); ++n) {
      // A copy of exactly n bytes, so that the address sanitizer sees a read beyond them.
      const Bytes part(whole.begin(), whole.begin() + n);
      EXPECT_THROW(decode_image(part, "part"), Error) << n << " of " << whole.size();
    }
  }
}

TEST(Decode, GarbageIsAnErrorThatNamesTheFile) {
  EXPECT_EQ(message({}), "shard-7/cat.png: empty; expected a PNG, JPEG or BMP picture");
  for (int kind = 0; kind < 4; ++kind) {
    Bytes garbage(1000, 0);
    RandomStream random(8, 0, Purpose::kTest, kind);
    if (kind > 0)
      for (uint8_t& v : garbage) v = uint8_t(random.below(256));
    const std::string text = message(garbage);
    EXPECT_EQ(text.find("shard-7/cat.png: "), 0u) << text;
    EXPECT_NE(text.find("expected a PNG, JPEG or BMP"), std::string::npos) << text;
  }
}

// Damaged bytes may still be a picture (no checksum is checked); they must never be a crash.
TEST(Decode, DamageIsAPictureOrAnError) {
  const Bytes jpeg(kTinyJpeg.begin(), kTinyJpeg.end());
  int errors = 0;
  for (const Bytes& whole : {encode_png(picture(6, 5)), jpeg})
    for (size_t i = 0; i < whole.size(); ++i)
      for (int flip : {0xff, 0x01, 0x80}) {
        // Sizes stay: a header that asks for 100 million pixels is legal, only slow.
        if (whole[0] == 0x89 && i >= 16 && i < 24) continue;
        Bytes damaged = whole;
        damaged[i] ^= uint8_t(flip);
        try {
          const Image image = decode_image(damaged, "damaged");
          EXPECT_EQ(image.pixels.size(), size_t(image.width) * image.height * 3);
        } catch (const Error&) {
          ++errors;
        }
      }
  EXPECT_GT(errors, 100);
}

TEST(Decode, HuffmanTableOfTooManyCodesIsRefused) {
  Bytes jpeg(kTinyJpeg.begin(), kTinyJpeg.end());
  EXPECT_TRUE(jpeg_tables_fit(jpeg));
  const Bytes mark = {0xff, 0xc4};
  const auto table = std::search(jpeg.begin(), jpeg.end(), mark.begin(), mark.end());
  ASSERT_NE(table, jpeg.end());
  table[5] = table[6] = 200;  // codes of one and of two bits
  EXPECT_FALSE(jpeg_tables_fit(jpeg));
  EXPECT_NE(message(jpeg).find("Huffman table"), std::string::npos);
  // The same bytes inside another segment or no JPEG at all are nobody's tables.
  Bytes hidden = {0xff, 0xd8, 0xff, 0xe1, 0, 8, 0xff, 0xc4, 0, 3, 0, 0, 0xff, 0xd9};
  EXPECT_TRUE(jpeg_tables_fit(hidden));
  hidden[3] = 0xc4;
  EXPECT_FALSE(jpeg_tables_fit(hidden));
  hidden[0] = 0;
  EXPECT_TRUE(jpeg_tables_fit(hidden));
}

TEST(Decode, AbsurdSizesAreRefusedBeforeTheyAreAllocated) {
  const std::string text = message(png(16000, 16000, 8, 0, {0}));
  EXPECT_EQ(text, "shard-7/cat.png: 16000 x 16000 pixels; expected at most 134217728 in all");
  EXPECT_NE(message(png(0x7fffffff, 0x7fffffff, 8, 0, {0})), "");
  EXPECT_NE(message(png(0, 5, 8, 0, {0})), "");
}

TEST(Decode, Files) {
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / "mome_image_decode_test.png";
  const Image image = picture(9, 4);
  write_png(path.string(), image);
  EXPECT_EQ(read_image(path.string()).pixels, image.pixels);
  std::filesystem::remove(path);
  EXPECT_THROW(read_image(path.string()), Error);
  EXPECT_THROW(read_image(testing::TempDir()), Error);
  EXPECT_THROW(write_png(path.string() + "/no/such/folder.png", image), Error);
  EXPECT_THROW(encode_png(Image{}), Error);
}

}  // namespace
}  // namespace mome
