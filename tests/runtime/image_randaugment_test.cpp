#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numbers>
#include <sstream>
#include <string>

#include "runtime/image/randaugment.h"

namespace mome {
namespace {

Image noise(int width, int height, int low = 0, int high = 255) {
  RandomStream random(10, 0, Purpose::kTest, width);
  Image image{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  for (uint8_t& v : image.pixels) v = uint8_t(low + random.below(high - low + 1));
  return image;
}

// What Pillow's operations of the same names give. AutoContrast there is in floating point and
// truncates, so a whole number may come out one lower; the others are exact.
TEST(RandAugment, ColourOperationsEqualPillow) {
  std::ifstream file(MOME_SOURCE_DIR "/tests/data/pillow_image.txt");
  ASSERT_TRUE(file);
  std::map<std::string, int> seen;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, hex;
    int w, h, low, high;
    uint32_t seed;
    words >> name;
    if (name == "#" || name == "bicubic" || name == "box") continue;
    words >> w >> h >> seed >> low >> high >> hex;
    ASSERT_TRUE(words);
    Image image{w, h, std::vector<uint8_t>(size_t(w) * h * 3)};
    for (uint8_t& v : image.pixels) {
      seed = 1664525u * seed + 1013904223u;
      v = uint8_t(low + int(seed >> 24) * (high - low) / 255);
    }
    ASSERT_EQ(hex.size(), image.pixels.size() * 2);
    if (name == "autocontrast") auto_contrast(image);
    if (name == "equalize") equalize(image);
    if (name == "brightness") brightness(image, 136);
    if (name == "sharpness") sharpness(image, 136);
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      const int expected = std::stoi(hex.substr(2 * i, 2), nullptr, 16), got = image.pixels[i];
      ASSERT_TRUE(got == expected || (name == "autocontrast" && got == expected + 1))
          << name << " at " << i << ": " << got << ", Pillow " << expected;
    }
    ++seen[name];
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(RandAugment, AutoContrastStretchesAndKeepsConstants) {
  Image image{2, 2, {50, 9, 0, 100, 9, 255, 75, 9, 128, 50, 9, 7}};
  auto_contrast(image);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{0, 9, 0, 255, 9, 255, 127, 9, 128, 0, 9, 7}));
}

TEST(RandAugment, EqualizeFlattensAndKeepsTheSmall) {
  // Values 100..115 equally often: after it they are spread over all levels in equal steps.
  Image image{64, 64, std::vector<uint8_t>(64 * 64 * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = uint8_t(100 + i / 3 % 16);
  equalize(image);
  // step = (4096 - 256) / 255 = 15; level k -> (7 + 256 k) / 15
  for (size_t i = 0; i < image.pixels.size(); ++i)
    ASSERT_EQ(image.pixels[i], std::min<size_t>(255, (7 + 256 * (i / 3 % 16)) / 15));
  Image small = noise(5, 5);  // 25 pixels: the step is 0
  const Image before = small;
  equalize(small);
  EXPECT_EQ(small.pixels, before.pixels);
}

// The case of the specification: a 0|255 edge; the original wraps around to 235 and 20 beside it.
TEST(RandAugment, SharpnessClips) {
  Image image{8, 3, {}};
  for (int i = 0; i < 24; ++i)
    for (int c = 0; c < 3; ++c) image.pixels.push_back(i % 8 < 4 ? 0 : 255);
  const Image before = image;
  sharpness(image, 136);
  EXPECT_EQ(image.pixels, before.pixels);
  // A weaker edge overshoots: smooth(100) = (10 * 100 + 3 * 150) / 13 = 112 -> 112 - 12 * 1.36
  // = 95.68
  Image soft{4, 3, {}};
  for (int i = 0; i < 12; ++i)
    for (int c = 0; c < 3; ++c) soft.pixels.push_back(i % 4 < 2 ? 100 : 150);
  sharpness(soft, 136);
  EXPECT_EQ(soft.pixels[(4 + 1) * 3], 95);
  EXPECT_EQ(soft.pixels[(4 + 2) * 3], 154);  // smooth 138: 138 + 12 * 1.36 = 154.32
  EXPECT_EQ(soft.pixels[4 * 3], 100);        // the border stays
}

// Bilinear sample by the definition, gray beyond the edge.
double sample(const Image& image, double x, double y, int c) {
  double sum = 0;
  const int x0 = int(std::floor(x)), y0 = int(std::floor(y));
  for (int j = y0; j <= y0 + 1; ++j)
    for (int i = x0; i <= x0 + 1; ++i) {
      const bool inside = i >= 0 && j >= 0 && i < image.width && j < image.height;
      sum += (1 - std::fabs(x - i)) * (1 - std::fabs(y - j)) *
             (inside ? image.pixels[(j * image.width + i) * 3 + c] : 128);
    }
  return sum;
}

// Operation 5..9 at M = 7 against where VLMo's matrices say that a pixel comes from.
TEST(RandAugment, WarpsFollowTheOriginalMatrices) {
  const Image in = noise(31, 24);
  const double turn = 21 * std::numbers::pi / 180;
  for (const bool negative : {false, true})
    for (int op = 5; op <= 9; ++op) {
      Image out = in;
      apply_randaugment_op(out, op, 7, negative);
      const double sign = negative ? -1 : 1;
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x) {
          double sx = x, sy = y;
          if (op == 5) sx = x - sign * 0.21 * y;
          if (op == 6) sy = y - sign * 0.21 * x;
          if (op == 7) sx = x + sign * 7;
          if (op == 8) sy = y + sign * 7;
          if (op == 9) {  // counter-clockwise on the screen about (15.5, 12)
            const double a = sign * turn, dx = x - 15.5, dy = y - 12;
            sx = 15.5 + std::cos(a) * dx - std::sin(a) * dy;
            sy = 12 + std::sin(a) * dx + std::cos(a) * dy;
          }
          for (int c = 0; c < 3; ++c)
            ASSERT_NEAR(out.pixels[(y * in.width + x) * 3 + c], sample(in, sx, sy, c), 0.5 + 1e-4)
                << kRandAugmentOps[op] << " at " << x << ", " << y;
        }
    }
}

TEST(RandAugment, RotateTurnsCounterClockwise) {
  Image image{41, 41, std::vector<uint8_t>(41 * 41 * 3, 0)};
  for (int y = 19; y <= 21; ++y)  // a blob right of the middle
    for (int x = 34; x <= 36; ++x)
      for (int c = 0; c < 3; ++c) image.pixels[(y * 41 + x) * 3 + c] = 255;
  rotate(image, 90, 0);
  // It went up: from (35, 20) about (20.5, 20.5) to (20, 6).
  EXPECT_EQ(image.pixels[(6 * 41 + 20) * 3], 255);
  EXPECT_EQ(image.pixels[(20 * 41 + 35) * 3], 0);
}

TEST(RandAugment, StrengthsAtSeven) {
  const Image in = noise(16, 16);
  Image a = in, b = in;
  apply_randaugment_op(a, 3, 7, false);
  brightness(b, 136);
  EXPECT_EQ(a.pixels, b.pixels);
  a = b = in;
  apply_randaugment_op(a, 4, 7, true);
  sharpness(b, 136);
  EXPECT_EQ(a.pixels, b.pixels);
  a = in;
  apply_randaugment_op(a, 0, 7, false);
  EXPECT_EQ(a.pixels, in.pixels);
}

// Pictures that stay as they are: each operation skipped (1/2) or one of three that change nothing:
// Identity, AutoContrast (the extremes are 0 and 255 already), Equalize (81 pixels: its step is 0).
TEST(RandAugment, HalfOfTheOperationsAreApplied) {
  Image in = noise(9, 9);
  for (int c = 0; c < 3; ++c) in.pixels[c] = 0, in.pixels[3 + c] = 255;
  const int n = 4000;
  int same = 0;
  for (int i = 0; i < n; ++i) {
    RandomStream random(1, 0, Purpose::kAugment, i);
    Image out = in;
    randaugment(out, 2, 7, random);
    same += out.pixels == in.pixels;
  }
  const double p = (0.5 + 0.5 * 0.3) * (0.5 + 0.5 * 0.3);
  EXPECT_NEAR(same, n * p, 5 * std::sqrt(n * p * (1 - p)));
}

}  // namespace
}  // namespace mome
