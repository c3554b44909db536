// Antialiased separable resampling of 8-bit RGB, bit for bit as Pillow's Image.resize(size, filter,
// box) computes it (libImaging/Resample.c): what BEiT, ViT and VLMo weights were trained on. Rows
// first, then columns, rounded to 8 bits in between, as in every Pillow up to 12; Pillow 13 begins
// with the columns of some tall pictures and differs there by up to one level.
//
// Model, taps t = 2 * support * max(1, in/out) a direction (support 2 bicubic, 0.5 box):
// 3 * (out_w * rows * t_x + out_w * out_h * t_y) multiply-adds in int32, rows = source rows used;
// bytes: source once, the intermediate [rows, out_w, 3] written and read once, result once.
#pragma once
#include <cstdint>

namespace mome {

enum class ResizeFilter : uint8_t {
  kBox,      // area average (Pillow BOX)
  kBicubic,  // Keys' cubic convolution with a = -0.5 (Pillow BICUBIC, not OpenCV's or PyTorch's
             // -0.75)
};

/// A region of the source in pixels, edges at integers: the whole image is {0, 0, width, height}.
/// Fractions are allowed. Taps beyond the region but inside the image are read, as Pillow does.
struct ResizeBox {
  float left, top, right, bottom;
};

/// out[out_height, out_width, 3] = the region `box` of in[in_height, in_width, 3], resampled.
/// `in_stride` is the distance of source rows in bytes (>= 3 * in_width), so that a crop is a
/// pointer and a stride. Sizes are >= 1; 0 <= left < right <= in_width, 0 <= top < bottom <=
/// in_height. `out` does not overlap `in`. One thread: callers run many images at once.
void resize_rgb(const uint8_t* in, int in_height, int in_width, int64_t in_stride,
                const ResizeBox& box, ResizeFilter filter, int out_height, int out_width,
                uint8_t* out);

}  // namespace mome
