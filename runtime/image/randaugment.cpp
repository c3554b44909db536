#include "runtime/image/randaugment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/image/affine.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

using Table = std::array<uint8_t, 256>;

Table identity_table() {
  Table table;
  for (int v = 0; v < 256; ++v) table[v] = uint8_t(v);
  return table;
}

// Every channel through the table that `make` derives from its histogram.
template <class Make>
void map_channels(Image& image, Make make) {
  for (int c = 0; c < 3; ++c) {
    std::array<int64_t, 256> histogram{};
    for (size_t i = c; i < image.pixels.size(); i += 3) ++histogram[image.pixels[i]];
    const Table table = make(histogram);
    for (size_t i = c; i < image.pixels.size(); i += 3) image.pixels[i] = table[image.pixels[i]];
  }
}

void warp(Image& image, const AffineMap& map, uint8_t fill) {
  const uint8_t colour[3] = {fill, fill, fill};
  std::vector<uint8_t> out(image.pixels.size());
  affine_warp(image.pixels.data(), image.height, image.width, map, colour, out.data());
  image.pixels.swap(out);
}

}  // namespace

void auto_contrast(Image& image) {
  map_channels(image, [](const std::array<int64_t, 256>& histogram) {
    int low = 0, high = 255;
    while (low < 255 && histogram[low] == 0) ++low;
    while (high > 0 && histogram[high] == 0) --high;
    Table table = identity_table();
    if (high > low)
      for (int v = 0; v < 256; ++v)
        table[v] = uint8_t(std::clamp(255 * (v - low) / (high - low), 0, 255));
    return table;
  });
}

void equalize(Image& image) {
  map_channels(image, [](const std::array<int64_t, 256>& histogram) {
    int64_t pixels = 0, highest = 0;
    for (int64_t n : histogram) {
      pixels += n;
      if (n > 0) highest = n;
    }
    const int64_t step = (pixels - highest) / 255;
    Table table = identity_table();
    if (step == 0) return table;
    int64_t sum = step / 2;
    for (int v = 0; v < 256; ++v) {
      table[v] = uint8_t(std::min<int64_t>(sum / step, 255));
      sum += histogram[v];
    }
    return table;
  });
}

void brightness(Image& image, int percent) {
  Table table;
  for (int v = 0; v < 256; ++v)
    table[v] = uint8_t(std::min<int64_t>(int64_t{v} * percent / 100, 255));
  for (uint8_t& v : image.pixels) v = table[v];
}

void sharpness(Image& image, int percent) {
  const std::vector<uint8_t> in = image.pixels;
  const int64_t row = int64_t{image.width} * 3;
  for (int y = 1; y + 1 < image.height; ++y)
    for (int64_t i = y * row + 3; i < (y + 1) * row - 3; ++i) {
      int sum = 4 * in[i];  // the centre counts five times, once of them below
      for (int64_t dy = -row; dy <= row; dy += row)
        for (int dx = -3; dx <= 3; dx += 3) sum += in[i + dy + dx];
      const int smooth = (sum + 6) / 13;
      const int sharp = (100 * smooth + percent * (in[i] - smooth)) / 100;
      image.pixels[i] = uint8_t(std::clamp(sharp, 0, 255));
    }
}

void shear_x(Image& image, double factor, uint8_t fill) { warp(image, {.xy = -factor}, fill); }

void shear_y(Image& image, double factor, uint8_t fill) { warp(image, {.yx = -factor}, fill); }

void translate_x(Image& image, double offset, uint8_t fill) { warp(image, {.x0 = offset}, fill); }

void translate_y(Image& image, double offset, uint8_t fill) { warp(image, {.y0 = offset}, fill); }

void rotate(Image& image, double degrees, uint8_t fill) {
  // y points down, so turning the picture counter-clockwise takes the source clockwise on the
  // screen.
  const double angle = degrees * std::numbers::pi / 180, c = std::cos(angle), s = std::sin(angle);
  const double mx = image.width / 2.0, my = image.height / 2.0;
  warp(image, {c, -s, mx - c * mx + s * my, s, c, my - s * mx - c * my}, fill);
}

void apply_randaugment_op(Image& image, int op, int magnitude, bool negative) {
  constexpr uint8_t kGray = 128;
  const int enhance = 10 + 18 * magnitude;
  const double m = negative ? -magnitude : magnitude;
  switch (op) {
    case 0:
      return;
    case 1:
      return auto_contrast(image);
    case 2:
      return equalize(image);
    case 3:
      return brightness(image, enhance);
    case 4:
      return sharpness(image, enhance);
    case 5:
      return shear_x(image, m * 3 / 100, kGray);
    case 6:
      return shear_y(image, m * 3 / 100, kGray);
    case 7:
      return translate_x(image, m, kGray);
    case 8:
      return translate_y(image, m, kGray);
    case 9:
      return rotate(image, m * 3, kGray);
  }
  MOME_CHECK(op >= 0 && op < int(kRandAugmentOps.size()));
}

void randaugment(Image& image, int count, int magnitude, RandomStream& random) {
  for (int i = 0; i < count; ++i) {
    // Three words an operation, used or not: what follows in the stream does not depend on luck.
    const int op = int(random.below(uint32_t(kRandAugmentOps.size())));
    const bool apply = random.uniform() < 0.5;
    const bool negative = random.uniform() < 0.5;
    if (apply) apply_randaugment_op(image, op, magnitude, negative);
  }
}

}  // namespace mome
