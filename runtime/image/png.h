// Pixels to PNG files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/image/image.h"

namespace mome {

/// 8-bit RGB PNG, lossless: decode_image gives the same pixels back. Throws Error for an empty
/// image.
std::vector<uint8_t> encode_png(const Image& image);

/// The same into a file. Throws Error if it cannot be written in full.
void write_png(const std::string& path, const Image& image);

}  // namespace mome
