// Hugging Face `tokenizers` 0.23 takes its facts from tables of three ages: categories from Unicode
// 8, canonical decomposition and combining classes from Unicode 9, lower case from Unicode 17. A
// vocabulary's ids were made with them, so we follow: utf8proc's newer (or, for lower case, older)
// answers are corrected by the short tables below, and a newer utf8proc may need them longer. The
// test over all code points (wordpiece_unicode_test) tells.
#include "runtime/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

namespace mome {
namespace {

struct Range {
  int32_t first, last;
};

// Stretches in which Unicode 15 has nonspacing marks, punctuation or format characters and Unicode
// 8 has none (most of it was unassigned): to `tokenizers` all in them is plain letters.
constexpr Range kPlainInUnicode8[] = {
    {0x061D, 0x061D},   {0x07FD, 0x07FD},   {0x0890, 0x08E2},   {0x09FD, 0x09FE},
    {0x0A76, 0x0A76},   {0x0AFA, 0x0AFF},   {0x0B55, 0x0B55},   {0x0C04, 0x0C3C},
    {0x0C77, 0x0C77},   {0x0C84, 0x0C84},   {0x0D00, 0x0D00},   {0x0D3B, 0x0D3C},
    {0x0D81, 0x0D81},   {0x0EBA, 0x0EBA},   {0x0ECE, 0x0ECE},   {0x180F, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1B7D, 0x1B7E},   {0x1DF6, 0x1DFB},   {0x2E43, 0x2E5D},
    {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},
    {0x10D24, 0x10F89}, {0x11070, 0x11074}, {0x110C2, 0x110CD}, {0x111CF, 0x111CF},
    {0x1123E, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1145E}, {0x11660, 0x1166C},
    {0x116B9, 0x116B9}, {0x1182F, 0x11FFF}, {0x12FF1, 0x13455}, {0x16E97, 0x16F4F},
    {0x16FE2, 0x16FE4}, {0x1CF00, 0x1CF46}, {0x1E000, 0x1E4EF}, {0x1E944, 0x1E95F}};

// Stretches in which Unicode 15 has non-zero combining classes and Unicode 9 has none.
constexpr Range kStarterInUnicode9[] = {{0x07FD, 0x07FD},   {0x0898, 0x08D3},   {0x09FE, 0x09FE},
                                        {0x0C3C, 0x0C3C},   {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},
                                        {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
                                        {0xA82C, 0xA82C},   {0x10D24, 0x10F85}, {0x11070, 0x11070},
                                        {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x11A99},
                                        {0x11D42, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E4EF}};

// Capitals whose small letters came with Unicode 16 and 17; those of a range are `by` further on.
struct LowerCase {
  int32_t first, last, by;
};
constexpr LowerCase kLowerSinceUnicode16[] = {
    {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};

template <class T, size_t N>
const T* find_range(const T (&table)[N], int32_t c) {
  const T* r = std::lower_bound(std::begin(table), std::end(table), c,
                                [](const T& range, int32_t value) { return range.last < value; });
  return r != std::end(table) && r->first <= c ? r : nullptr;
}

CharKind kind_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharKind::kSpace;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return CharKind::kPunctuation;
    case UTF8PROC_CATEGORY_MN:
      return CharKind::kAccent;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
      return CharKind::kRemoved;
    default:
      return CharKind::kOther;
  }
}

}  // namespace

CharKind wide_char_kind(int32_t c) {
  // Characters whose category was another one in Unicode 8.
  if (c == 0x166D || c == 0x111C9) return CharKind::kPunctuation;
  if (c == 0x1734) return CharKind::kAccent;
  if (c == 0xFFFD) return CharKind::kRemoved;
  const CharKind kind = kind_of_category(utf8proc_category(c));
  if (kind != CharKind::kOther && find_range(kPlainInUnicode8, c)) return CharKind::kOther;
  return kind;
}

int combining_class(int32_t c) {
  if (c < 0x300) return 0;
  const int order = utf8proc_get_property(c)->combining_class;
  return order != 0 && find_range(kStarterInUnicode9, c) ? 0 : order;
}

int decompose(int32_t c, int32_t (&parts)[kMaxDecomposition]) {
  // U+11938 (Unicode 13) is unknown to Unicode 9.
  if (c >= 0xC0 && c != 0x11938) {
    int boundary = 0;
    const auto options = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    const utf8proc_ssize_t n =
        utf8proc_decompose_char(c, parts, kMaxDecomposition, options, &boundary);
    if (n >= 1 && n <= kMaxDecomposition) return int(n);
  }
  parts[0] = c;
  return 1;
}

int32_t to_lower(int32_t c) {
  if (const LowerCase* r = find_range(kLowerSinceUnicode16, c)) return c + r->by;
  return utf8proc_tolower(c);
}

size_t decode_utf8(std::string_view text, int32_t& c) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t n = utf8proc_iterate(bytes, utf8proc_ssize_t(text.size()), &c);
  return n > 0 ? size_t(n) : 0;
}

void append_utf8(int32_t c, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t n = utf8proc_encode_char(c, bytes);
  out.append(reinterpret_cast<const char*>(bytes), size_t(n));
}

}  // namespace mome
