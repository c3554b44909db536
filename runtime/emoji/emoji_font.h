// The pictures of a colour font: HarfBuzz shapes a sequence to a glyph and hands out the glyph's
// bitmap (OpenType CBDT/CBLC or sbix), which is a PNG file in itself.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/emoji/sequence.h"

struct hb_font_t;
struct hb_face_t;

namespace mome {

class EmojiFont {
 public:
  /// Throws Error when the file cannot be read, is no font or holds no PNG bitmaps.
  explicit EmojiFont(const std::string& file);
  ~EmojiFont();
  EmojiFont(const EmojiFont&) = delete;
  EmojiFont& operator=(const EmojiFont&) = delete;

  /// The one glyph that draws the sequence (U+FE0F included); 0 when the font has none.
  uint32_t glyph(const CodePoints& sequence) const;

  /// The glyph's bitmap as a PNG file; empty when it has none.
  std::vector<uint8_t> png(uint32_t glyph) const;

 private:
  hb_face_t* face_;
  hb_font_t* font_;
};

}  // namespace mome
