#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/common/philox.h"
#include "kernels/image/affine.h"
#include "kernels/image/flip.h"

namespace mome {
namespace {

constexpr int kW = 13, kH = 9;
constexpr uint8_t kFill[3] = {10, 128, 250};

std::vector<uint8_t> noise() {
  RandomStream random(4, 0, Purpose::kTest, 0);
  std::vector<uint8_t> pixels(kW * kH * 3);
  for (uint8_t& v : pixels) v = uint8_t(random.below(256));
  return pixels;
}

int pixel(const std::vector<uint8_t>& in, int x, int y, int c) {
  return x >= 0 && y >= 0 && x < kW && y < kH ? in[(y * kW + x) * 3 + c] : kFill[c];
}

TEST(Affine, IdentityAndWholeShiftsAreExact) {
  const std::vector<uint8_t> in = noise();
  std::vector<uint8_t> out(in.size());
  for (int dx : {0, 1, -2, 12, 13, -13, 40})
    for (int dy : {0, -1, 3, 9, -9}) {
      affine_warp(in.data(), kH, kW, {.x0 = double(dx), .y0 = double(dy)}, kFill, out.data());
      for (int y = 0; y < kH; ++y)
        for (int x = 0; x < kW; ++x)
          for (int c = 0; c < 3; ++c)
            ASSERT_EQ(out[(y * kW + x) * 3 + c], pixel(in, x + dx, y + dy, c));
    }
}

TEST(Affine, BilinearFormulaOfAGeneralMap) {
  const std::vector<uint8_t> in = noise();
  std::vector<uint8_t> out(in.size());
  const AffineMap map{0.8, -0.3, 1.7, 0.45, 1.2, -2.3};
  affine_warp(in.data(), kH, kW, map, kFill, out.data());
  for (int y = 0; y < kH; ++y)
    for (int x = 0; x < kW; ++x)
      for (int c = 0; c < 3; ++c) {
        const double sx = 0.8 * x - 0.3 * y + 1.7, sy = 0.45 * x + 1.2 * y - 2.3;
        double sum = 0;  // hat functions over all pixels near, the fill beyond the edge
        for (int j = -20; j < 40; ++j)
          for (int i = -20; i < 40; ++i)
            sum += std::max(0.0, 1 - std::fabs(sx - i)) * std::max(0.0, 1 - std::fabs(sy - j)) *
                   pixel(in, i, j, c);
        EXPECT_NEAR(out[(y * kW + x) * 3 + c], sum, 0.5 + 1e-4);  // rounding; float weights
      }
}

TEST(Affine, QuarterTurnMovesPixels) {
  // Square part of the picture: source (y, n - 1 - x).
  const int n = 5;
  const std::vector<uint8_t> all = noise(), in(all.begin(), all.begin() + n * n * 3);
  std::vector<uint8_t> out(in.size());
  affine_warp(in.data(), n, n, {0, 1, 0, -1, 0, n - 1.0}, kFill, out.data());
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x)
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(out[(y * n + x) * 3 + c], in[((n - 1 - x) * n + y) * 3 + c]);
}

TEST(Affine, EndlessCoordinatesAreFill) {
  const std::vector<uint8_t> in = noise();
  std::vector<uint8_t> out(in.size());
  for (double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 1e300, -1e300}) {
    affine_warp(in.data(), kH, kW, {.x0 = bad}, kFill, out.data());
    for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], kFill[i % 3]);
  }
}

TEST(Flip, MirrorsEveryRow) {
  for (int width : {1, 2, 12, 13}) {
    const std::vector<uint8_t> all = noise(), in(all.begin(), all.begin() + width * kH * 3);
    std::vector<uint8_t> out = in;
    flip_horizontal(out.data(), kH, width);
    for (int y = 0; y < kH; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < 3; ++c)
          ASSERT_EQ(out[(y * width + x) * 3 + c], in[(y * width + width - 1 - x) * 3 + c]);
  }
}

}  // namespace
}  // namespace mome
