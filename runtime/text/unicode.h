// The properties of characters that BERT's tokenisation asks for, from utf8proc's tables, held at
// the versions of Unicode that Hugging Face `tokenizers` uses (see unicode.cpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mome {

enum class CharKind {
  kOther,        // letters, digits, symbols, spacing marks, unassigned
  kSpace,        // white space
  kPunctuation,  // categories P*, and every ASCII symbol
  kAccent,       // nonspacing mark, category Mn
  kRemoved,      // control, format, private use, U+0000, U+FFFD
};
CharKind wide_char_kind(int32_t c);  // for c >= 0x80
inline CharKind char_kind(int32_t c) {
  if (c >= 0x80) return wide_char_kind(c);
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return CharKind::kSpace;
  if (c < 0x20 || c == 0x7F) return CharKind::kRemoved;
  const bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
  return alphanumeric ? CharKind::kOther : CharKind::kPunctuation;
}

/// Canonical combining class, 0 to 254; 0 is a starter.
int combining_class(int32_t c);

constexpr int kMaxDecomposition = 8;  // the longest canonical decomposition has four characters
/// Writes the full canonical decomposition of `c` and returns its length (at least 1).
int decompose(int32_t c, int32_t (&parts)[kMaxDecomposition]);

/// Simple lower case.
int32_t to_lower(int32_t c);

/// Decodes the first character of `text`; returns its bytes, or 0 if they are not valid UTF-8.
size_t decode_utf8(std::string_view text, int32_t& c);
void append_utf8(int32_t c, std::string& out);

}  // namespace mome
