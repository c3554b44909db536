#include "runtime/image/jpeg.h"

#include <jerror.h>

#include <algorithm>
#include <cstring>

namespace mome {
namespace {

// Warnings about a picture that is whole all the same: stray bytes between segments, and headers
// that name odd versions. Every other warning means that pixels were made up.
bool harmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
         code == JWRN_BOGUS_PROGRESSION;
}

void nothing(j_decompress_ptr) {}

}  // namespace

// libjpeg is C: its errors leave by longjmp, so no function between setjmp and here may own
// anything. jpeg_decompress_struct's memory is libjpeg's own and freed in the destructor.
void JpegDecoder::on_error(j_common_ptr info) {
  std::longjmp(static_cast<Errors*>(info->err)->decoder->failed_, 1);
}

void JpegDecoder::on_message(j_common_ptr info, int level) {
  if (level < 0 && !harmless(info->err->msg_code)) on_error(info);
}

// The whole picture is in memory, so a request for more bytes is one beyond its end.
boolean JpegDecoder::on_end(j_decompress_ptr info) {
  static_cast<Errors*>(info->err)->decoder->cut_short_ = true;
  ERREXIT(info, JERR_INPUT_EOF);
  return FALSE;
}

void JpegDecoder::on_skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (size_t(count) > info->src->bytes_in_buffer) on_end(info);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= size_t(count);
}

void JpegDecoder::on_failure() {
  char text[JMSG_LENGTH_MAX];
  (*errors_.format_message)(reinterpret_cast<j_common_ptr>(&info_), text);
  problem_ = text;
}

JpegDecoder::JpegDecoder(std::span<const uint8_t> bytes) {
  info_.err = jpeg_std_error(&errors_);
  errors_.decoder = this;
  errors_.error_exit = on_error;
  errors_.emit_message = on_message;
  jpeg_create_decompress(&info_);
  source_.next_input_byte = bytes.data();
  source_.bytes_in_buffer = bytes.size();
  source_.init_source = nothing;
  source_.term_source = nothing;
  source_.fill_input_buffer = on_end;
  source_.skip_input_data = on_skip;
  source_.resync_to_restart = jpeg_resync_to_restart;
  info_.src = &source_;
}

JpegDecoder::~JpegDecoder() { jpeg_destroy_decompress(&info_); }

bool JpegDecoder::read_head() {
  if (setjmp(failed_)) {
    on_failure();
    return false;
  }
  jpeg_read_header(&info_, TRUE);
  return true;
}

bool JpegDecoder::is_rgb() const {
  const J_COLOR_SPACE space = info_.jpeg_color_space;
  return space == JCS_GRAYSCALE || space == JCS_YCbCr || space == JCS_RGB;
}

bool JpegDecoder::decode(int denominator, const Crop& part, uint8_t* out) {
  if (setjmp(failed_)) {
    on_failure();
    return false;
  }
  info_.scale_num = 1;
  info_.scale_denom = unsigned(denominator);
  info_.out_color_space = JCS_RGB;
  info_.dct_method = JDCT_ISLOW;
  info_.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&info_);
  const int height = int(info_.output_height), whole = int(info_.output_width);
  // Columns begin at a block's edge, where smooth upsampling lacks its neighbour: one block more on
  // either side keeps the part what it is in the whole picture.
  JDIMENSION first = 0, width = JDIMENSION(whole);
  const int block = DCTSIZE * std::max(info_.max_h_samp_factor, 1);
  const int from = std::max(0, part.left - block);
  const int to = std::min(whole, part.left + part.width + block);
  if (to - from < whole) {
    first = JDIMENSION(from);
    width = JDIMENSION(to - from);
    jpeg_crop_scanline(&info_, &first, &width);
  }
  const bool direct = int(width) == part.width;
  if (!direct) row_.resize(size_t(width) * 3);
  if (part.top > 0) jpeg_skip_scanlines(&info_, JDIMENSION(part.top));
  for (int y = 0; y < part.height; ++y) {
    uint8_t* const line = out + int64_t{y} * part.width * 3;
    JSAMPROW to_row = direct ? line : row_.data();
    jpeg_read_scanlines(&info_, &to_row, 1);
    if (!direct) {
      std::memcpy(line, row_.data() + (int64_t{part.left} - first) * 3, size_t(part.width) * 3);
    }
  }
  // The rows below are decoded as far as their entropy coding, which is where damage shows; libjpeg
  // takes a skip to the very end as leave to look at nothing, so one row is left to be read.
  const int below = height - part.top - part.height;
  if (below > 1) jpeg_skip_scanlines(&info_, JDIMENSION(below - 1));
  if (below > 0) {
    row_.resize(size_t(width) * 3);
    JSAMPROW last = row_.data();
    jpeg_read_scanlines(&info_, &last, 1);
  }
  jpeg_finish_decompress(&info_);
  return true;
}

}  // namespace mome
