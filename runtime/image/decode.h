// Picture files to pixels: PNG, JPEG and BMP.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "runtime/image/image.h"

namespace mome {

/// Pictures of more pixels than this are refused before anything is allocated for them.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 27;

/// Grey is spread to RGB, transparency is composited on white, 16-bit samples keep their upper 8.
/// Throws Error, its message beginning with `name`, for bytes that are empty, cut short, broken or
/// no picture, and for absurd sizes. A JPEG without its end marker counts as cut short.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);

/// The same from a file. Throws Error if it cannot be read.
Image read_image(const std::string& path);

}  // namespace mome
