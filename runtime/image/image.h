// A picture in memory.
#pragma once
#include <cstdint>
#include <vector>

namespace mome {

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels; /* [height][width][3] RGB */
};

/// A part of a picture in whole pixels.
struct Crop {
  int left = 0, top = 0, width = 0, height = 0;
};

}  // namespace mome
