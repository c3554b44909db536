// Picture files to pixels: PNG, JPEG and BMP. JPEGs of one or three channels go through
// libjpeg-turbo, all else (CMYK too) through stb_image. EXIF's orientation is not followed.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/image/image.h"

namespace mome {

class JpegDecoder;

/// Pictures of more pixels than this are refused before anything is allocated for them.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 27;

/// Grey is spread to RGB, transparency is composited on white, 16-bit samples keep their upper 8.
/// Throws Error, its message beginning with `name`, for bytes that are empty, cut short, broken or
/// no picture, and for absurd sizes. A JPEG without its end marker counts as cut short.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);

/// A picture whose head has been read, for a caller that does not look at all of its pixels.
class EncodedImage {
 public:
  /// The bytes must outlive it. Throws Error as decode_image where the head already tells.
  EncodedImage(std::span<const uint8_t> bytes, std::string name);
  ~EncodedImage();

  int width() const { return width_; }
  int height() const { return height_; }
  /// Whether decode() can reduce it: a JPEG of one or three channels.
  bool reducible() const { return jpeg_ != nullptr; }

  /// Once. The part of the picture, at 1 / denominator of its sides (rounded up), denominator 1, or
  /// 2, 4 or 8 for a reducible one: the same pixels as in the whole picture at this denominator,
  /// and the same errors whatever the part.
  Image decode(int denominator, const Crop& part);

 private:
  const std::span<const uint8_t> bytes_;
  const std::string name_;
  int width_ = 0, height_ = 0;
  std::unique_ptr<JpegDecoder> jpeg_;
};

/// The same from a file. Throws Error if it cannot be read.
Image read_image(const std::string& path);

}  // namespace mome
