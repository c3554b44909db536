#include "kernels/image/affine.h"

#include <cmath>

namespace mome {

void affine_warp(const uint8_t* in, int height, int width, const AffineMap& map,
                 const uint8_t fill[3], uint8_t* out) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x, out += 3) {
      const double sx = map.xx * x + (map.xy * y + map.x0);
      const double sy = map.yx * x + (map.yy * y + map.y0);
      // Written so that NaN takes this way too; it also keeps the conversions to int in range.
      if (!(sx > -1 && sy > -1 && sx < width && sy < height)) {
        for (int c = 0; c < 3; ++c) out[c] = fill[c];
        continue;
      }
      const double floor_x = std::floor(sx), floor_y = std::floor(sy);
      const int x0 = int(floor_x), y0 = int(floor_y);
      const float fx = float(sx - floor_x), fy = float(sy - floor_y);
      const bool left = x0 >= 0, right = x0 + 1 < width, up = y0 >= 0, down = y0 + 1 < height;
      const int64_t at = (int64_t(y0) * width + x0) * 3, below = at + int64_t(width) * 3;
      const uint8_t* p00 = left && up ? in + at : fill;
      const uint8_t* p01 = right && up ? in + at + 3 : fill;
      const uint8_t* p10 = left && down ? in + below : fill;
      const uint8_t* p11 = right && down ? in + below + 3 : fill;
      for (int c = 0; c < 3; ++c) {
        const float top = p00[c] + fx * float(p01[c] - p00[c]);
        const float bottom = p10[c] + fx * float(p11[c] - p10[c]);
        out[c] = uint8_t(top + fy * (bottom - top) + 0.5f);
      }
    }
  }
}

}  // namespace mome
