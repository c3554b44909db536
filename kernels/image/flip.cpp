#include "kernels/image/flip.h"

#include <utility>

namespace mome {

void flip_horizontal(uint8_t* pixels, int height, int width) {
  for (int y = 0; y < height; ++y) {
    uint8_t* left = pixels + int64_t(y) * width * 3;
    uint8_t* right = left + int64_t(width - 1) * 3;
    for (; left < right; left += 3, right -= 3)
      for (int c = 0; c < 3; ++c) std::swap(left[c], right[c]);
  }
}

}  // namespace mome
