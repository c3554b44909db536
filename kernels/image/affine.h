// Affine warp of 8-bit RGB by inverse mapping and bilinear sampling: rotation, shear, translation,
// zoom in one pass.
//
// Convention: pixel (x, y) has its centre AT (x, y), as in OpenCV's warpAffine (so an image spans
// [-0.5, width - 0.5]). Samples beyond the image are `fill`, blended at the edge (BORDER_CONSTANT).
// Coordinates are double and weights float, not OpenCV's 1/32 pixel steps; results are rounded to
// nearest.
//
// Model, per pixel: 12 bytes read (cached), 3 written; 4 multiply-adds for the place, 12 for the
// blend.
#pragma once
#include <cstdint>

namespace mome {

/// Where output pixel (x, y) comes from: source_x = xx x + xy y + x0, source_y = yx x + yy y + y0.
struct AffineMap {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;
};

/// out[height, width, 3] from in[height, width, 3] (no overlap); fill: one value a channel.
/// Sizes >= 1. Coordinates that are not finite count as beyond the image.
void affine_warp(const uint8_t* in, int height, int width, const AffineMap& map,
                 const uint8_t fill[3], uint8_t* out);

}  // namespace mome
