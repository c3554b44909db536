// Decoding JPEG: Pillow's pixels, parts and reductions of a picture, damage, CMYK.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "kernels/common/philox.h"
#include "kernels/image/resize.h"
#include "runtime/core/error.h"
#include "runtime/image/augment.h"
#include "runtime/image/decode.h"
#include "runtime/image/jpeg.h"

namespace mome {
namespace {

using Bytes = std::vector<uint8_t>;

struct Kind {
  int channels = 3, h = 1, v = 1;  // sampling factors of the first channel
  bool progressive = false;
  int restart = 0;  // blocks between restart markers; 0: none
};

Bytes encode(const Bytes& pixels, int width, int height, const Kind& kind) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = JDIMENSION(width);
  info.image_height = JDIMENSION(height);
  info.input_components = kind.channels;
  info.in_color_space = kind.channels == 1   ? JCS_GRAYSCALE
                        : kind.channels == 4 ? JCS_CMYK
                                             : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  info.comp_info[0].h_samp_factor = kind.h;
  info.comp_info[0].v_samp_factor = kind.v;
  info.restart_interval = unsigned(kind.restart);
  if (kind.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < height; ++y) {
    JSAMPROW row = const_cast<uint8_t*>(&pixels[size_t(y) * width * kind.channels]);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const Bytes out(memory, memory + size);
  std::free(memory);
  return out;
}

// A smooth picture with some noise: all its coefficients are there, and none wraps around.
Bytes picture(int width, int height, int channels) {
  RandomStream random(4, 0, Purpose::kTest, uint64_t(width));
  Bytes out;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        out.push_back(uint8_t(128 + 70 * std::sin(0.05 * x * (c + 1)) + 30 * std::cos(0.09 * y) +
                              random.uniform(-15, 15)));
  return out;
}

const std::vector<Kind> kKinds = {
    {}, {3, 2, 1}, {3, 2, 2}, {3, 1, 2}, {3, 2, 2, true}, {3, 2, 2, false, 3}, {1}};

Image decode(const Bytes& bytes, int denominator, const Crop& part) {
  return EncodedImage(bytes, "test").decode(denominator, part);
}

Image whole(const Bytes& bytes, int denominator) {
  EncodedImage image(bytes, "test");
  const int w = (image.width() + denominator - 1) / denominator;
  const int h = (image.height() + denominator - 1) / denominator;
  return image.decode(denominator, {0, 0, w, h});
}

Bytes unhex(const std::string& hex) {
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(uint8_t(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

TEST(Jpeg, PixelsArePillows) {
  std::ifstream file(MOME_SOURCE_DIR "/tests/data/pillow_jpeg.txt");
  ASSERT_TRUE(file);
  int seen = 0;
  for (std::string line; std::getline(file, line);) {
    if (line[0] == '#') continue;
    std::istringstream words(line);
    std::string name, jpeg, pixels;
    int w = 0, h = 0;
    words >> name >> w >> h >> jpeg >> pixels;
    const Image image = decode_image(unhex(jpeg), name);
    EXPECT_EQ(image.width, w);
    EXPECT_EQ(image.height, h);
    EXPECT_EQ(image.pixels, unhex(pixels)) << name;
    ++seen;
  }
  EXPECT_EQ(seen, 5);
}

TEST(Jpeg, APartIsThatPartOfTheWhole) {
  RandomStream random(5, 0, Purpose::kTest, 0);
  for (const Kind& kind : kKinds)
    for (const auto& [w, h] : {std::pair{150, 101}, {64, 200}, {17, 9}}) {
      const Bytes bytes = encode(picture(w, h, kind.channels), w, h, kind);
      for (const int denominator : {1, 2, 4, 8}) {
        const Image all = whole(bytes, denominator);
        EXPECT_EQ(all.width, (w + denominator - 1) / denominator);
        for (int i = 0; i < 12; ++i) {
          Crop part;
          part.width = 1 + int(random.below(uint32_t(all.width)));
          part.height = 1 + int(random.below(uint32_t(all.height)));
          part.left = int(random.below(uint32_t(all.width - part.width + 1)));
          part.top = int(random.below(uint32_t(all.height - part.height + 1)));
          const Image got = decode(bytes, denominator, part);
          for (int y = 0; y < part.height; ++y) {
            const auto row =
                all.pixels.begin() + (int64_t{part.top + y} * all.width + part.left) * 3;
            ASSERT_TRUE(std::equal(row, row + part.width * 3,
                                   got.pixels.begin() + int64_t{y} * part.width * 3))
                << kind.h << kind.v << kind.progressive << " 1/" << denominator << " row " << y
                << " of " << part.left << "," << part.top << " " << part.width << "x" << part.height
                << " in " << w << "x" << h;
          }
        }
      }
    }
}

// A reduced picture is the average over squares of pixels, up to what rounding and the colour's
// subsampling do to noise of +-15 levels.
TEST(Jpeg, ReducedPicturesAreAverages) {
  for (const Kind& kind : {Kind{}, Kind{3, 2, 2}, Kind{1}}) {
    const int w = 160, h = 96;
    const Bytes bytes = encode(picture(w, h, kind.channels), w, h, kind);
    const Image full = decode_image(bytes, "test");
    for (const int denominator : {2, 4, 8}) {
      const Image got = whole(bytes, denominator);
      const int ow = w / denominator, oh = h / denominator;
      Bytes expected(size_t(ow) * oh * 3);
      resize_rgb(full.pixels.data(), h, w, w * 3, {0, 0, float(w), float(h)}, ResizeFilter::kBox,
                 oh, ow, expected.data());
      double sum = 0, worst = 0;
      for (size_t i = 0; i < expected.size(); ++i) {
        const double d = std::abs(int(got.pixels[i]) - int(expected[i]));
        sum += d;
        worst = std::max(worst, d);
      }
      EXPECT_LT(sum / double(expected.size()), 2) << denominator;
      EXPECT_LT(worst, 16) << denominator;
    }
  }
}

// Damage is found whatever part is looked at: what a run skips must not depend on its crops.
TEST(Jpeg, DamageFailsForEveryPartOrNone) {
  for (const Kind& kind : {Kind{3, 2, 2}, Kind{3, 2, 2, true}, Kind{3, 1, 1, false, 2}}) {
    const int w = 70, h = 50;
    const Bytes good = encode(picture(w, h, 3), w, h, kind);
    const auto fails = [](const Bytes& bytes, const Crop& part) {
      try {
        decode(bytes, 1, part);
      } catch (const Error&) {
        return true;
      }
      return false;
    };
    const Crop all{0, 0, w, h}, top{3, 0, 20, 5}, middle{20, 20, 30, 9}, bottom{50, 45, 20, 5};
    for (size_t n = 2; n < good.size(); n += 3) {
      const Bytes part(good.begin(), good.begin() + int64_t(n));
      for (const Crop& crop : {all, top, middle, bottom}) EXPECT_TRUE(fails(part, crop)) << n;
    }
    RandomStream random(6, 0, Purpose::kTest, 0);
    int failed = 0;
    for (int i = 0; i < 300; ++i) {
      Bytes bytes = good;
      // Beyond the frame's header, so that the size stays.
      bytes[200 + random.below(uint32_t(bytes.size() - 200))] ^= uint8_t(1 << random.below(8));
      const bool expected = fails(bytes, all);
      failed += expected;
      for (const Crop& crop : {top, middle, bottom}) EXPECT_EQ(fails(bytes, crop), expected) << i;
    }
    EXPECT_GT(failed, 10);
  }
}

TEST(Jpeg, CutShortIsSaid) {
  const Bytes good = encode(picture(120, 90, 3), 120, 90, {3, 2, 2});
  for (const size_t lost : {size_t{1}, size_t{2}, good.size() / 2}) {
    const Bytes part(good.begin(), good.end() - int64_t(lost));
    try {
      decode_image(part, "a.jpg");
      ADD_FAILURE() << lost;
    } catch (const Error& e) {
      EXPECT_EQ(e.what(),
                "a.jpg: the picture is cut short after " + std::to_string(part.size()) + " bytes");
    }
  }
  Bytes ended(good.begin(), good.begin() + int64_t(good.size() / 2));
  ended.insert(ended.end(), {0xff, 0xd9});  // an end marker does not mend it
  EXPECT_THROW(decode_image(ended, "a.jpg"), Error);
}

TEST(Jpeg, CmykIsInkOnWhite) {
  // Adobe's way, as stb and Pillow read it: stored upside down, so 255 is no ink.
  Bytes pixels;
  for (int i = 0; i < 16 * 16; ++i) pixels.insert(pixels.end(), {200, 60, 20, 255});
  const Bytes bytes = encode(pixels, 16, 16, {4});
  EXPECT_FALSE(EncodedImage(bytes, "cmyk").reducible());
  const Image image = decode_image(bytes, "cmyk");
  ASSERT_EQ(image.pixels.size(), size_t(16 * 16 * 3));
  for (size_t i = 0; i < image.pixels.size(); ++i)
    EXPECT_NEAR(image.pixels[i], (std::array{200, 60, 20})[i % 3], 3);
  const Image part = decode(bytes, 1, {3, 4, 5, 6});
  EXPECT_EQ(part.width, 5);
  EXPECT_EQ(part.pixels.size(), size_t(5 * 6 * 3));
}

// No crop that can be drawn is smaller than the result after the reduction, and a larger reduction
// would break that.
TEST(Jpeg, ReductionLeavesEnoughForEveryCrop) {
  const Augmentation vlmo{.kind = "vlmo"}, gentle{.kind = "gentle"};
  EXPECT_EQ(reduction(4000, 3000, 224, {}), 1);
  EXPECT_EQ(reduction(500, 375, 224, vlmo), 1);
  EXPECT_EQ(reduction(1024, 768, 224, vlmo), 2);
  EXPECT_EQ(reduction(2048, 1536, 224, vlmo), 4);
  EXPECT_EQ(reduction(9000, 9000, 224, vlmo), 8);
  EXPECT_EQ(reduction(5000, 300, 224, vlmo), 1);
  EXPECT_EQ(reduction(500, 500, 224, gentle), 2);
  std::map<int, int> seen;
  for (const auto& [w, h] : {std::pair{740, 740}, {1024, 768}, {600, 1400}, {3000, 2000}}) {
    const int d = reduction(w, h, 224, vlmo);
    ++seen[d];
    RandomStream random(7, 0, Purpose::kTest, uint64_t(w));
    for (int i = 0; i < 20000; ++i) {
      const Crop crop = draw_crop((w + d - 1) / d, (h + d - 1) / d, vlmo, random);
      ASSERT_GE(std::min(crop.width, crop.height), 224) << w << "x" << h << " / " << d;
    }
  }
  EXPECT_GE(seen.size(), 2u);
}

}  // namespace
}  // namespace mome
