#include <gtest/gtest.h>
#include <omp.h>

#include <vector>

#include "kernels/common/philox.h"
#include "kernels/image/normalize.h"

namespace mome {
namespace {

template <class T>
void check(int64_t batch, int size, int patch, const Normalization& n) {
  RandomStream random(5, 0, Purpose::kTest, size);
  std::vector<uint8_t> in(batch * size * size * 3);
  for (uint8_t& v : in) v = uint8_t(random.below(256));
  std::vector<T> out(in.size());
  patches_from_images(cpu, in.data(), batch, size, patch, n, out.data());
  // From the pixel's side: where pixel (b, y, x, c) goes.
  const int grid = size / patch, row = 3 * patch * patch;
  for (int64_t b = 0; b < batch; ++b)
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x)
        for (int c = 0; c < 3; ++c) {
          const int64_t p = b * grid * grid + (y / patch) * grid + x / patch;
          const int64_t at = p * row + (c * patch + y % patch) * patch + x % patch;
          const double v = in[((b * size + y) * size + x) * 3 + c];
          ASSERT_EQ(out[at], T((v / 255.0 - n.mean[c]) / n.std[c]));
        }
}

TEST(Patches, EveryPixelInItsPlace) {
  const Normalization imagenet{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  check<float>(3, 12, 4, imagenet);
  check<double>(2, 15, 5, imagenet);
  check<float>(2, 32, 16, {});
  check<double>(1, 7, 7, {});
  check<float>(2, 3, 1, {});
  check<float>(0, 16, 16, {});
}

TEST(Patches, DefaultRangeIsMinusOneToOne) {
  const uint8_t image[12] = {0, 255, 51, 102, 204, 128, 0, 0, 0, 0, 0, 0};
  float out[12];
  patches_from_images(cpu, image, 1, 2, 2, {}, out);
  EXPECT_EQ(out[0], -1.0f);
  EXPECT_EQ(out[4], 1.0f);                // channel 1, first pixel
  EXPECT_EQ(out[8], -0.6f);               // channel 2, first pixel
  EXPECT_EQ(out[1], float(2 * 0.4 - 1));  // channel 0, second pixel
}

TEST(Patches, SameOnOneThread) {
  std::vector<uint8_t> in(4 * 32 * 32 * 3);
  for (size_t i = 0; i < in.size(); ++i) in[i] = uint8_t(i * 37 >> 3);
  std::vector<float> a(in.size()), b(in.size());
  patches_from_images(cpu, in.data(), 4, 32, 8, {}, a.data());
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  patches_from_images(cpu, in.data(), 4, 32, 8, {}, b.data());
  omp_set_num_threads(threads);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace mome
