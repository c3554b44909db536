// JPEG by libjpeg-turbo: the slow-but-accurate DCT and smooth upsampling, as Pillow decodes, so
// that the pixels are Pillow's. It can leave out what is not looked at: a part of the picture is
// the same part of the whole, bit for bit, and costs less; and it can halve the sides up to three
// times within the inverse DCT, which is an area average of the picture and not a subset of its
// pixels.
#pragma once
// clang-format off
#include <cstdio>  // before jpeglib.h, which uses its names
#include <jpeglib.h>
// clang-format on

#include <csetjmp>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/image/image.h"

namespace mome {

class JpegDecoder {
 public:
  /// The bytes must outlive the decoder; nothing is read yet.
  explicit JpegDecoder(std::span<const uint8_t> bytes);
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  /// Reads what stands before the picture. False if it is broken; then problem() says how.
  bool read_head();
  int width() const { return int(info_.image_width); }
  int height() const { return int(info_.image_height); }
  /// Whether the picture is grey, YCbCr or RGB: what decode() can bring to RGB.
  bool is_rgb() const;

  /// Once, after read_head(): part[part.height, part.width, 3] of the picture at 1 / denominator of
  /// its sides (rounded up; denominator 1, 2, 4 or 8). All entropy-coded data is read whatever the
  /// part, so that a damaged picture fails for each. False for one that is cut short, that has no
  /// end marker or whose data do not decode; `part` is then of no use.
  bool decode(int denominator, const Crop& part, uint8_t* out);

  /// After a failure: whether the bytes ended too early, and what libjpeg says of it.
  bool cut_short() const { return cut_short_; }
  const std::string& problem() const { return problem_; }

 private:
  struct Errors : jpeg_error_mgr {
    JpegDecoder* decoder;
  };
  void on_failure();
  static void on_error(j_common_ptr info);
  static void on_message(j_common_ptr info, int level);
  static boolean on_end(j_decompress_ptr info);
  static void on_skip(j_decompress_ptr info, long count);

  jpeg_decompress_struct info_{};
  jpeg_source_mgr source_{};
  Errors errors_{};
  std::jmp_buf failed_;
  bool cut_short_ = false;
  std::string problem_;
  std::vector<uint8_t> row_;  // a member, since a jump leaves the local variables undefined
};

}  // namespace mome
