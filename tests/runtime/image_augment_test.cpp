#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/image/resize.h"
#include "runtime/core/error.h"
#include "runtime/image/augment.h"
#include "runtime/image/randaugment.h"

namespace mome {
namespace {

Image noise(int width, int height) {
  RandomStream random(9, 0, Purpose::kTest, width);
  Image image{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  for (uint8_t& v : image.pixels) v = uint8_t(random.below(256));
  return image;
}

Image run(const Image& image, int size, const Augmentation& augmentation, uint64_t sample) {
  RandomStream random(1, 2, Purpose::kAugment, sample);
  return augment(image, size, augmentation, random);
}

TEST(Augment, NoneIsAPlainResizeAndDrawsNothing) {
  const Image image = noise(37, 21);
  std::vector<uint8_t> expected(16 * 16 * 3);
  resize_rgb(image.pixels.data(), 21, 37, 37 * 3, {0, 0, 37, 21}, ResizeFilter::kBicubic, 16, 16,
             expected.data());
  RandomStream random(1, 2, Purpose::kAugment, 3), untouched(1, 2, Purpose::kAugment, 3);
  const Image out = augment(image, 16, {}, random);
  EXPECT_EQ(out.pixels, expected);
  EXPECT_EQ(out.width, 16);
  EXPECT_EQ(out.height, 16);
  EXPECT_EQ(random.next(), untouched.next());
}

TEST(Augment, SameStreamSamePixels) {
  const Image image = noise(50, 40);
  for (const char* kind : {"vlmo", "gentle"}) {
    int different = 0;
    for (uint64_t sample = 0; sample < 20; ++sample) {
      const Image a = run(image, 24, {.kind = kind}, sample);
      EXPECT_EQ(a.pixels, run(image, 24, {.kind = kind}, sample).pixels);
      EXPECT_EQ(a.pixels.size(), size_t(24 * 24 * 3));
      different += a.pixels != run(image, 24, {.kind = kind}, sample + 1).pixels;
    }
    EXPECT_EQ(different, 20) << kind;
  }
}

// The order of the steps and of their draws is part of the contract: a seed means the same forever.
TEST(Augment, VlmoIsCropFlipRandAugment) {
  const int w = 60, h = 45, size = 24;
  const Image image = noise(w, h);
  for (uint64_t sample = 0; sample < 30; ++sample) {
    RandomStream random(1, 2, Purpose::kAugment, sample);
    const Crop crop = random_resized_crop(w, h, random);
    Image cut{crop.width, crop.height, {}};
    for (int y = crop.top; y < crop.top + crop.height; ++y) {
      const auto row = image.pixels.begin() + (y * w + crop.left) * 3;
      cut.pixels.insert(cut.pixels.end(), row, row + crop.width * 3);
    }
    Image expected = run(cut, size, {}, 0);
    if (random.uniform() < 0.5)
      for (int y = 0; y < size; ++y)
        for (int x = 0; x < size / 2; ++x)
          std::swap_ranges(&expected.pixels[(y * size + x) * 3],
                           &expected.pixels[(y * size + x) * 3] + 3,
                           &expected.pixels[(y * size + size - 1 - x) * 3]);
    randaugment(expected, 2, 7, random);
    EXPECT_EQ(run(image, size, {.kind = "vlmo"}, sample).pixels, expected.pixels);
  }
}

TEST(Augment, KnownCrop) {
  // torchvision's formula by hand for the stream's first four words.
  RandomStream words(1, 2, Purpose::kAugment, 0), random(1, 2, Purpose::kAugment, 0);
  const double area = 100 * 100 * (0.5 + 0.5 * words.uniform());
  const double ratio = std::pow(4.0 / 3, 2 * words.uniform() - 1);
  const int w = int(std::lround(std::sqrt(area * ratio)));
  const int h = int(std::lround(std::sqrt(area / ratio)));
  ASSERT_LE(std::max(w, h), 100);  // this stream's first try fits
  const int top = int(words.below(101 - h)), left = int(words.below(101 - w));
  const Crop crop = random_resized_crop(100, 100, random);
  EXPECT_EQ(crop.width, w);
  EXPECT_EQ(crop.height, h);
  EXPECT_EQ(crop.top, top);
  EXPECT_EQ(crop.left, left);
}

TEST(Augment, FlipKeyMirrorsHalf) {
  const Image image = noise(20, 20);
  const Image plain = run(image, 20, {}, 0);
  int mirrored = 0;
  for (uint64_t sample = 0; sample < 400; ++sample) {
    const Image out = run(image, 20, {.flip = true}, sample);
    if (out.pixels == plain.pixels) continue;
    ++mirrored;
    for (int y = 0; y < 20; ++y)
      for (int x = 0; x < 20; ++x)
        for (int c = 0; c < 3; ++c)
          ASSERT_EQ(out.pixels[(y * 20 + x) * 3 + c], plain.pixels[(y * 20 + 19 - x) * 3 + c]);
  }
  EXPECT_NEAR(mirrored, 200, 5 * std::sqrt(400 * 0.25));  // five standard deviations
}

// The same ranges and rounding as torchvision's get_params, checked from their consequences.
TEST(Augment, CropsCoverHalfToAll) {
  RandomStream random(1, 1, Purpose::kTest, 0);
  const int w = 400, h = 300, n = 5000;
  double area_mean = 0, smallest = 1, largest = 0, thin = 9, wide = 0;
  for (int i = 0; i < n; ++i) {
    const Crop crop = random_resized_crop(w, h, random);
    ASSERT_GE(crop.left, 0);
    ASSERT_GE(crop.top, 0);
    ASSERT_LE(crop.left + crop.width, w);
    ASSERT_LE(crop.top + crop.height, h);
    const double area = double(crop.width) * crop.height / (w * h);
    const double ratio = double(crop.width) / crop.height;
    area_mean += area / n;
    smallest = std::min(smallest, area), largest = std::max(largest, area);
    thin = std::min(thin, ratio), wide = std::max(wide, ratio);
  }
  // A side rounded by half a pixel moves area and ratio by at most 0.5 / 173 each way (two sides).
  const double slack = 2 * 0.5 / 173;
  EXPECT_GE(smallest, 0.5 * (1 - slack));
  EXPECT_LT(smallest, 0.52);
  EXPECT_GT(largest, 0.95);
  EXPECT_GE(thin, 0.75 * (1 - slack));
  EXPECT_LE(wide, 4.0 / 3 * (1 + slack));
  EXPECT_GT(wide, 1.3);
  EXPECT_GT(area_mean, 0.6);
  EXPECT_LT(area_mean, 0.8);
}

TEST(Augment, ExtremeShapesFallBackToTheCentre) {
  RandomStream random(1, 1, Purpose::kTest, 1);
  Crop crop = random_resized_crop(900, 30, random);  // 30 * 4/3 wide
  EXPECT_EQ(crop.width, 40);
  EXPECT_EQ(crop.height, 30);
  EXPECT_EQ(crop.left, 430);
  EXPECT_EQ(crop.top, 0);
  crop = random_resized_crop(30, 900, random);  // 30 / (3/4) high
  EXPECT_EQ(crop.width, 30);
  EXPECT_EQ(crop.height, 40);
  EXPECT_EQ(crop.top, 430);
  for (const auto& [w, h] : {std::pair{1, 1}, {1, 100}, {100, 1}, {2, 3}}) {
    const Image out = run(noise(w, h), 8, {.kind = "vlmo"}, 0);
    EXPECT_EQ(out.pixels.size(), size_t(8 * 8 * 3));
  }
}

TEST(Augment, GentleAtStrengthZeroIsNone) {
  const Image image = noise(33, 44);
  EXPECT_EQ(run(image, 32, {.kind = "gentle", .strength = 0}, 5).pixels,
            run(image, 32, {}, 5).pixels);
}

// A picture of one colour: its middle moves within contrast and shift; corners may show the fill.
TEST(Augment, GentleStaysInItsRanges) {
  const int n = 64;
  Image image{n, n, std::vector<uint8_t>(n * n * 3, 200)};
  int darkest = 255, brightest = 0, filled = 0;
  for (uint64_t sample = 0; sample < 500; ++sample) {
    const Image out = run(image, n, {.kind = "gentle", .strength = 0.4, .fill = 0}, sample);
    const uint8_t* middle = &out.pixels[(n / 2 * n + n / 2) * 3];
    for (int c = 0; c < 3; ++c) {
      darkest = std::min<int>(darkest, middle[c]);
      brightest = std::max<int>(brightest, middle[c]);
    }
    filled += out.pixels[0] < 100;
  }
  // 127.5 + 72.5 * (1 +- 0.06) +- 3 is [192.65, 207.35]; five hundred times three draws come within
  // two levels of both ends.
  EXPECT_GE(darkest, 193);
  EXPECT_LE(darkest, 195);
  EXPECT_LE(brightest, 207);
  EXPECT_GE(brightest, 205);
  EXPECT_GT(filled, 100);
  EXPECT_LT(filled, 500);
}

// Where a small blob goes tells zoom, shift and turn: never beyond what the strength allows.
TEST(Augment, GentleMovesLittle) {
  const int n = 65, at = 48;
  Image image{n, n, std::vector<uint8_t>(n * n * 3, 255)};
  for (int y = 31; y <= 33; ++y)
    for (int x = at - 1; x <= at + 1; ++x)
      for (int c = 0; c < 3; ++c) image.pixels[(y * n + x) * 3 + c] = 0;
  double min_x = n, max_x = 0, min_y = n, max_y = 0;
  for (uint64_t sample = 0; sample < 1000; ++sample) {
    const Image out = run(image, n, {.kind = "gentle"}, sample);
    double sum = 0, x = 0, y = 0;
    for (int i = 0; i < n * n; ++i) {
      const double dark = std::max(0, 200 - out.pixels[i * 3]);
      sum += dark, x += dark * (i % n), y += dark * (i / n);
    }
    min_x = std::min(min_x, x / sum), max_x = std::max(max_x, x / sum);
    min_y = std::min(min_y, y / sum), max_y = std::max(max_y, y / sum);
  }
  // 16 pixels right of the middle (32): stretched by 0.92 / sqrt(1.06) to 1.10 * sqrt(1.06), turned
  // by 4.6 degrees, shifted by 1.56; half a pixel for the blob's centre after sampling.
  EXPECT_GE(min_x, 32 + 16 * 0.92 * std::sqrt(0.94) * std::cos(0.0803) - 1.56 - 0.5);
  EXPECT_LT(min_x, 46.5);
  EXPECT_LE(max_x, 32 + 16 * 1.10 * std::sqrt(1.06) + 1.56 + 0.5);
  EXPECT_GT(max_x, 50);
  const double reach = 16 * 1.10 * std::sqrt(1.06) * std::sin(0.0803) + 1.56 + 0.5;
  EXPECT_GE(min_y, 32 - reach);
  EXPECT_LT(min_y, 30.5);
  EXPECT_LE(max_y, 32 + reach);
  EXPECT_GT(max_y, 33.5);
}

TEST(Augment, BadKeysAreErrors) {
  EXPECT_NO_THROW(check_augmentation({.kind = "vlmo"}));
  EXPECT_THROW(check_augmentation({.kind = "strong"}), Error);
  EXPECT_THROW(check_augmentation({.kind = "gentle", .strength = -0.1}), Error);
  EXPECT_THROW(check_augmentation({.kind = "gentle", .strength = std::nan("")}), Error);
  EXPECT_THROW(check_augmentation({.kind = "gentle", .fill = 256}), Error);
}

}  // namespace
}  // namespace mome
