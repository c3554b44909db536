#include "runtime/image/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/image/affine.h"
#include "kernels/image/flip.h"
#include "kernels/image/resize.h"
#include "runtime/core/error.h"
#include "runtime/image/randaugment.h"

namespace mome {
namespace {

// VLMo's RandomResizedCrop.
constexpr double kMinScale = 0.5, kMaxScale = 1.0, kMinRatio = 3.0 / 4, kMaxRatio = 4.0 / 3;

// Crop first, then resize: taps do not reach beyond the crop, as in torchvision's resized_crop.
Image resized_crop(const Image& image, const Crop& crop, int size) {
  Image out{size, size, std::vector<uint8_t>(size_t(size) * size * 3)};
  const int64_t stride = int64_t{image.width} * 3;
  resize_rgb(image.pixels.data() + crop.top * stride + crop.left * 3, crop.height, crop.width,
             stride, {0, 0, float(crop.width), float(crop.height)}, ResizeFilter::kBicubic, size,
             size, out.pixels.data());
  return out;
}

void gentle_warp(Image& image, double strength, int fill, RandomStream& random) {
  const double zoom = random.uniform(1 - 0.2 * strength, 1 + 0.25 * strength);
  const double aspect = 1 + random.uniform(-0.15, 0.15) * strength;
  const double angle = random.uniform(-11.5, 11.5) * strength * std::numbers::pi / 180;
  const double shift_x = random.uniform(-0.06, 0.06) * strength * image.width;
  const double shift_y = random.uniform(-0.06, 0.06) * strength * image.height;
  // The picture is stretched by zoom * sqrt(aspect) and zoom / sqrt(aspect), turned, then shifted,
  // all about its middle; the kernel wants the inverse.
  const double sx = 1 / (zoom * std::sqrt(aspect)), sy = std::sqrt(aspect) / zoom;
  const double c = std::cos(angle), s = std::sin(angle);
  AffineMap map{c * sx, s * sx, 0, -s * sy, c * sy, 0};
  const double mx = (image.width - 1) / 2.0, my = (image.height - 1) / 2.0;
  map.x0 = mx - map.xx * (mx + shift_x) - map.xy * (my + shift_y);
  map.y0 = my - map.yx * (mx + shift_x) - map.yy * (my + shift_y);
  const uint8_t colour[3] = {uint8_t(fill), uint8_t(fill), uint8_t(fill)};
  std::vector<uint8_t> out(image.pixels.size());
  affine_warp(image.pixels.data(), image.height, image.width, map, colour, out.data());
  image.pixels.swap(out);
}

void gentle_colour(Image& image, double strength, RandomStream& random) {
  const double contrast = 1 + random.uniform(-0.15, 0.15) * strength;
  uint8_t table[3][256];
  for (auto& channel : table) {
    const double shift = random.uniform(-7.5, 7.5) * strength;
    for (int v = 0; v < 256; ++v) {
      const double x = 127.5 + (v - 127.5) * contrast + shift;
      channel[v] = uint8_t(std::clamp(std::floor(x + 0.5), 0.0, 255.0));
    }
  }
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = table[i % 3][image.pixels[i]];
}

}  // namespace

void check_augmentation(const Augmentation& augmentation) {
  const std::string& kind = augmentation.kind;
  if (kind != "none" && kind != "vlmo" && kind != "gentle")
    fail("augmentation: no kind \"{}\"; expected none, vlmo or gentle", kind);
  // Above 4 the zoom's lower end and the aspect come near to zero. The comparison refuses NaN too.
  if (!(augmentation.strength >= 0 && augmentation.strength <= 4))
    fail("augmentation: strength {}; expected 0 to 4", augmentation.strength);
  if (augmentation.fill < 0 || augmentation.fill > 255)
    fail("augmentation: fill {}; expected 0 to 255", augmentation.fill);
}

Crop random_resized_crop(int width, int height, RandomStream& random) {
  for (int i = 0; i < 10; ++i) {
    const double area = double(width) * height * random.uniform(kMinScale, kMaxScale);
    const double ratio = std::exp(random.uniform(std::log(kMinRatio), std::log(kMaxRatio)));
    const double w = std::nearbyint(std::sqrt(area * ratio));
    const double h = std::nearbyint(std::sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const int top = int(random.below(uint32_t(height - int(h) + 1)));
    const int left = int(random.below(uint32_t(width - int(w) + 1)));
    return {left, top, int(w), int(h)};
  }
  int w = width, h = height;
  const double ratio = double(width) / height;
  if (ratio < kMinRatio) h = int(std::nearbyint(w / kMinRatio));
  if (ratio > kMaxRatio) w = int(std::nearbyint(h * kMaxRatio));
  return {(width - w) / 2, (height - h) / 2, w, h};
}

Crop draw_crop(int width, int height, const Augmentation& augmentation, RandomStream& random) {
  check_augmentation(augmentation);
  MOME_CHECK(width >= 1 && height >= 1);
  if (augmentation.kind == "vlmo") return random_resized_crop(width, height, random);
  return {0, 0, width, height};
}

int reduction(int width, int height, int size, const Augmentation& augmentation) {
  if (augmentation.kind == "none") return 1;
  double side = std::min(width, height);
  // A crop's sides are sqrt(area ratio) and sqrt(area / ratio).
  if (augmentation.kind == "vlmo")
    side = std::min(side, std::sqrt(kMinScale * kMinRatio * double(width) * height));
  int out = 8;
  // A pixel less: the crop is rounded to whole pixels of the reduced picture.
  while (out > 1 && side / out - 1 < size) out /= 2;
  return out;
}

Image augment_crop(const Image& image, const Crop& crop, int size, const Augmentation& augmentation,
                   RandomStream& random) {
  MOME_CHECK(size >= 1 && image.pixels.size() == size_t(image.width) * image.height * 3);
  const bool vlmo = augmentation.kind == "vlmo";
  Image out = resized_crop(image, crop, size);
  if (augmentation.flip.value_or(vlmo) && random.uniform() < 0.5)
    flip_horizontal(out.pixels.data(), size, size);
  if (vlmo) randaugment(out, 2, 7, random);
  if (augmentation.kind == "gentle") {
    gentle_warp(out, augmentation.strength, augmentation.fill, random);
    gentle_colour(out, augmentation.strength, random);
  }
  return out;
}

Image augment(const Image& image, int size, const Augmentation& augmentation,
              RandomStream& random) {
  const Crop crop = draw_crop(image.width, image.height, augmentation, random);
  return augment_crop(image, crop, size, augmentation, random);
}

}  // namespace mome
