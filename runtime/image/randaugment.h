// RandAugment as VLMo trains with it (unilm vlmo/vlmo/transforms/randaug.py, from ALBEF; Cubuk et
// al., "RandAugment", 2020): ten operations, two drawn a picture, each applied with probability
// 1/2.
//
// What differs from that code, on purpose: Sharpness clips to [0, 255] where the original wraps
// around in its cast to uint8. Blends and look-up tables truncate, as there; they are in exact
// integers here, so that no compiler's contraction of a product and a sum can move a value across
// an integer.
#pragma once
#include <array>
#include <string_view>

#include "kernels/common/philox.h"
#include "runtime/image/image.h"

namespace mome {

/// The operations in the order of their numbers.
inline constexpr std::array<std::string_view, 10> kRandAugmentOps = {
    "Identity", "AutoContrast", "Equalize",   "Brightness", "Sharpness",
    "ShearX",   "ShearY",       "TranslateX", "TranslateY", "Rotate"};

/// Every channel stretched so that its extremes are 0 and 255: 255 (v - low) / (high - low),
/// truncated; a channel of one value stays.
void auto_contrast(Image& image);

/// Every channel mapped through its histogram's running sum as Pillow's ImageOps.equalize does:
/// step = (pixels - pixels of the highest value) / 255; v -> (step / 2 + pixels below v) / step,
/// integer divisions, at most 255. step = 0 leaves the channel.
void equalize(Image& image);

/// v * percent / 100, truncated, at most 255. percent >= 0.
void brightness(Image& image, int percent);

/// Away from the smoothed picture s (3 x 3 mean, centre weight 5 of 13, rounded): s + (v - s) *
/// percent / 100, truncated and clipped. The one-pixel border stays.
void sharpness(Image& image, int percent);

/// Column moved by factor * y: out(x, y) = in(x - factor y, y). Uncovered pixels are `fill` here
/// and below; sampling is bilinear (kernels/image/affine.h).
void shear_x(Image& image, double factor, uint8_t fill);
/// out(x, y) = in(x, y - factor x).
void shear_y(Image& image, double factor, uint8_t fill);
/// out(x, y) = in(x + offset, y): a positive offset moves the picture left.
void translate_x(Image& image, double offset, uint8_t fill);
/// out(x, y) = in(x, y + offset).
void translate_y(Image& image, double offset, uint8_t fill);
/// Counter-clockwise about (width / 2, height / 2) in pixel indices, half a pixel off the middle as
/// in the original (cv2.getRotationMatrix2D).
void rotate(Image& image, double degrees, uint8_t fill);

/// Operation number `op` (of kRandAugmentOps) at strength `magnitude` of 10: Brightness and
/// Sharpness (10 + 18 m) %, shear 0.03 m, translation m pixels whatever the size, rotation 3 m
/// degrees; fill gray 128. `negative` turns the sign of the last five.
void apply_randaugment_op(Image& image, int op, int magnitude, bool negative);

/// `count` operations drawn with replacement, each applied with probability 1/2.
void randaugment(Image& image, int count, int magnitude, RandomStream& random);

}  // namespace mome
