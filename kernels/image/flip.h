// Mirror images in place.
#pragma once
#include <cstdint>

namespace mome {

/// Swaps left and right of pixels[height, width, 3]. Bytes: the image read and written once.
void flip_horizontal(uint8_t* pixels, int height, int width);

}  // namespace mome
