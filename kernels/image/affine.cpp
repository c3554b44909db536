#include "kernels/image/affine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mome {
namespace {

// One pixel of four neighbours, fx of the way to the right and fy of the way down.
inline void blend(const uint8_t* p00, const uint8_t* p01, const uint8_t* p10, const uint8_t* p11,
                  float fx, float fy, uint8_t* out) {
  for (int c = 0; c < 3; ++c) {
    const float top = p00[c] + fx * float(p01[c] - p00[c]);
    const float bottom = p10[c] + fx * float(p11[c] - p10[c]);
    out[c] = uint8_t(top + fy * (bottom - top) + 0.5f);
  }
}

bool is_whole(double x) { return x == std::floor(x); }

// Whether the map moves the picture by whole pixels, less far than it is large.
bool is_shift(const AffineMap& map, int height, int width) {
  return map.xx == 1 && map.xy == 0 && map.yx == 0 && map.yy == 1 && std::fabs(map.x0) < width &&
         std::fabs(map.y0) < height && is_whole(map.x0) && is_whole(map.y0);
}

void fill_pixels(const uint8_t fill[3], int64_t count, uint8_t* out) {
  for (int64_t i = 0; i < count; ++i)
    for (int c = 0; c < 3; ++c) out[i * 3 + c] = fill[c];
}

// What the general way computes where all weights are 0 or 1, in copies of rows.
void shift(const uint8_t* in, int height, int width, int dx, int dy, const uint8_t fill[3],
           uint8_t* out) {
  const int left = std::max(0, -dx), right = std::min(width, width - dx);
  for (int y = 0; y < height; ++y, out += int64_t(width) * 3) {
    if (y + dy < 0 || y + dy >= height) {
      fill_pixels(fill, width, out);
      continue;
    }
    fill_pixels(fill, left, out);
    std::memcpy(out + left * 3, in + (int64_t(y + dy) * width + left + dx) * 3,
                size_t(right - left) * 3);
    fill_pixels(fill, width - right, out + right * 3);
  }
}

}  // namespace

void affine_warp(const uint8_t* in, int height, int width, const AffineMap& map,
                 const uint8_t fill[3], uint8_t* out) {
  if (is_shift(map, height, width))
    return shift(in, height, width, int(map.x0), int(map.y0), fill, out);
  const int64_t stride = int64_t(width) * 3;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x, out += 3) {
      const double sx = map.xx * x + (map.xy * y + map.x0);
      const double sy = map.yx * x + (map.yy * y + map.y0);
      // Written so that NaN takes this way too; it also keeps the conversions to int in range.
      if (!(sx > -1 && sy > -1 && sx < width && sy < height)) {
        for (int c = 0; c < 3; ++c) out[c] = fill[c];
        continue;
      }
      if (sx >= 0 && sy >= 0 && sx < width - 1 && sy < height - 1) {  // no neighbour is beyond
        const int x0 = int(sx), y0 = int(sy);
        const float fx = float(sx - x0), fy = float(sy - y0);
        const uint8_t* p = in + y0 * stride + x0 * 3;
        blend(p, p + 3, p + stride, p + stride + 3, fx, fy, out);
        continue;
      }
      const double floor_x = std::floor(sx), floor_y = std::floor(sy);
      const int x0 = int(floor_x), y0 = int(floor_y);
      const float fx = float(sx - floor_x), fy = float(sy - floor_y);
      const bool left = x0 >= 0, right = x0 + 1 < width, up = y0 >= 0, down = y0 + 1 < height;
      const int64_t at = y0 * stride + x0 * 3, below = at + stride;
      const uint8_t* p00 = left && up ? in + at : fill;
      const uint8_t* p01 = right && up ? in + at + 3 : fill;
      const uint8_t* p10 = left && down ? in + below : fill;
      const uint8_t* p11 = right && down ? in + below + 3 : fill;
      blend(p00, p01, p10, p11, fx, fy, out);
    }
  }
}

}  // namespace mome
