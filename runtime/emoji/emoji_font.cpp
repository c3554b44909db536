#include "runtime/emoji/emoji_font.h"

#include <hb-ot.h>
#include <hb.h>

#include "runtime/core/error.h"

namespace mome {

EmojiFont::EmojiFont(const std::string& file) {
  hb_blob_t* blob = hb_blob_create_from_file_or_fail(file.c_str());
  if (!blob) fail("{}: cannot be read as a font file", file);
  face_ = hb_face_create(blob, 0);
  hb_blob_destroy(blob);
  if (hb_face_get_glyph_count(face_) == 0 || !hb_ot_color_has_png(face_)) {
    const bool glyphs = hb_face_get_glyph_count(face_) > 0;
    hb_face_destroy(face_);
    if (!glyphs) fail("{}: not a font", file);
    fail(
        "{}: the font holds no colour bitmaps; expected a CBDT table (NotoColorEmoji.ttf of "
        "fonts-noto-color-emoji)",
        file);
  }
  font_ = hb_font_create(face_);
}

EmojiFont::~EmojiFont() {
  hb_font_destroy(font_);
  hb_face_destroy(face_);
}

uint32_t EmojiFont::glyph(const CodePoints& sequence) const {
  hb_buffer_t* buffer = hb_buffer_create();
  const int length = static_cast<int>(sequence.size());
  hb_buffer_add_utf32(buffer, sequence.data(), length, 0, length);
  hb_buffer_guess_segment_properties(buffer);
  hb_shape(font_, buffer, nullptr, 0);
  unsigned count = 0;
  const hb_glyph_info_t* infos = hb_buffer_get_glyph_infos(buffer, &count);
  const uint32_t glyph =
      count == 1 ? infos[0].codepoint : 0;  // after shaping a glyph, not a character
  hb_buffer_destroy(buffer);
  return glyph;
}

std::vector<uint8_t> EmojiFont::png(uint32_t glyph) const {
  hb_blob_t* blob = hb_ot_color_glyph_reference_png(font_, glyph);
  unsigned length = 0;
  const auto* bytes = reinterpret_cast<const uint8_t*>(hb_blob_get_data(blob, &length));
  std::vector<uint8_t> out(bytes, bytes + length);
  hb_blob_destroy(blob);
  return out;
}

}  // namespace mome
