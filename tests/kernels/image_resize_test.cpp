#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/common/philox.h"
#include "kernels/image/resize.h"

namespace mome {
namespace {

std::vector<uint8_t> golden_picture(int width, int height, uint32_t seed) {
  std::vector<uint8_t> pixels(size_t(width) * height * 3);
  for (uint8_t& v : pixels) v = uint8_t((seed = 1664525u * seed + 1013904223u) >> 24);
  return pixels;
}

std::vector<uint8_t> noise(int width, int height, uint64_t stream) {
  RandomStream random(3, 0, Purpose::kTest, stream);
  std::vector<uint8_t> pixels(size_t(width) * height * 3);
  for (uint8_t& v : pixels) v = uint8_t(random.below(256));
  return pixels;
}

TEST(Resize, EqualsPillowBitForBit) {
  std::ifstream file(MOME_SOURCE_DIR "/tests/data/pillow_image.txt");
  ASSERT_TRUE(file);
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string filter, hex;
    int w, h, nw, nh;
    uint32_t seed;
    ResizeBox box;
    words >> filter;
    if (filter != "bicubic" && filter != "box") continue;
    words >> w >> h >> seed >> box.left >> box.top >> box.right >> box.bottom >> nw >> nh >> hex;
    ASSERT_TRUE(words) << line;
    ASSERT_EQ(hex.size(), size_t(nw) * nh * 6);
    std::vector<uint8_t> out(size_t(nw) * nh * 3);
    resize_rgb(golden_picture(w, h, seed).data(), h, w, w * 3, box,
               filter == "box" ? ResizeFilter::kBox : ResizeFilter::kBicubic, nh, nw, out.data());
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i], std::stoi(hex.substr(2 * i, 2), nullptr, 16)) << line << "\nat " << i;
    ++cases;
  }
  EXPECT_EQ(cases, 26);
}

// Independent of the kernel: the continuous kernel integrated in neither passes nor fixed point, as
// a double sum over the whole image of separable weights.
double weight(ResizeFilter filter, double x) {
  x = std::fabs(x);
  if (filter == ResizeFilter::kBox) return x < 0.5 ? 1 : 0;
  if (x <= 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

std::vector<double> weights(ResizeFilter filter, int in, double begin, double end, int out, int i) {
  const double scale = (end - begin) / out, stretch = std::max(1.0, scale);
  std::vector<double> w(in);
  double sum = 0;
  for (int j = 0; j < in; ++j)
    sum += w[j] = weight(filter, (j + 0.5 - begin - (i + 0.5) * scale) / stretch);
  for (double& v : w) v /= sum;
  return w;
}

TEST(Resize, CloseToAnExactSum) {
  struct Case {
    int w, h, nw, nh;
    ResizeBox box;
  };
  for (const Case& c :
       {Case{37, 23, 16, 16, {0, 0, 37, 23}}, Case{9, 11, 32, 33, {0, 0, 9, 11}},
        Case{50, 40, 13, 17, {3.3f, 5.1f, 47.2f, 30.4f}}, Case{70, 5, 3, 40, {0, 0, 70, 5}}}) {
    const std::vector<uint8_t> in = noise(c.w, c.h, c.w);
    std::vector<uint8_t> out(size_t(c.nw) * c.nh * 3);
    resize_rgb(in.data(), c.h, c.w, c.w * 3, c.box, ResizeFilter::kBicubic, c.nh, c.nw, out.data());
    for (int y = 0; y < c.nh; ++y)
      for (int x = 0; x < c.nw; ++x) {
        const auto wx = weights(ResizeFilter::kBicubic, c.w, c.box.left, c.box.right, c.nw, x);
        const auto wy = weights(ResizeFilter::kBicubic, c.h, c.box.top, c.box.bottom, c.nh, y);
        for (int ch = 0; ch < 3; ++ch) {
          // Clipping between the passes is part of the definition: rows first, then columns.
          double sum = 0, gain = 0;
          for (int j = 0; j < c.h; ++j) {
            double row = 0;
            for (int k = 0; k < c.w; ++k) row += wx[k] * in[(j * c.w + k) * 3 + ch];
            sum += wy[j] * std::min(255.0, std::max(0.0, row));
            gain += std::fabs(wy[j]);
          }
          sum = std::min(255.0, std::max(0.0, sum));
          // Half a level of rounding in each pass, the first carried through the second's weights;
          // 1e-3 covers weights of 22 bits and Pillow's taps, cut where the cubic is nearly 0.
          EXPECT_NEAR(out[(y * c.nw + x) * 3 + ch], sum, 0.5 + 0.5 * gain + 1e-3);
        }
      }
  }
}

TEST(Resize, BoxFilterAveragesWholeBlocks) {
  const int n = 4, block = 7;
  const std::vector<uint8_t> in = noise(n * block, n * block, 5);
  std::vector<uint8_t> out(n * n * 3);
  resize_rgb(in.data(), n * block, n * block, n * block * 3, {0, 0, n * block, n * block},
             ResizeFilter::kBox, n, n, out.data());
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x)
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int j = 0; j < block * block; ++j)
          sum += in[((y * block + j / block) * n * block + x * block + j % block) * 3 + c];
        // Rounded to a level after rows and again after columns.
        EXPECT_NEAR(out[(y * n + x) * 3 + c], sum / (block * block), 1.0 + 1e-3);
      }
}

// A crop by pointer and stride is the cropped picture's resize: no neighbour leaks in.
TEST(Resize, StrideCrops) {
  const int w = 31, h = 27, left = 4, top = 6, cw = 19, ch = 18;
  const std::vector<uint8_t> in = noise(w, h, 9);
  std::vector<uint8_t> cut;
  for (int y = 0; y < ch; ++y)
    cut.insert(cut.end(), &in[((top + y) * w + left) * 3],
               &in[((top + y) * w + left + cw) * 3 - 1] + 1);
  const ResizeBox box{0, 0, cw, ch};
  for (int size : {8, 18, 19, 40}) {
    std::vector<uint8_t> a(size * size * 3), b(a.size());
    resize_rgb(&in[(top * w + left) * 3], ch, cw, w * 3, box, ResizeFilter::kBicubic, size, size,
               a.data());
    resize_rgb(cut.data(), ch, cw, cw * 3, box, ResizeFilter::kBicubic, size, size, b.data());
    EXPECT_EQ(a, b) << size;
  }
}

}  // namespace
}  // namespace mome
