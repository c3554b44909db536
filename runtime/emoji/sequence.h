// Emoji sequences: code points and the forms in which the sources spell them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mome {

using CodePoints = std::vector<uint32_t>;

inline constexpr uint32_t kJoiner = 0x200D;             // zero-width joiner
inline constexpr uint32_t kEmojiPresentation = 0xFE0F;  // variation selector 16

/// One of the five skin tone modifiers U+1F3FB (light) to U+1F3FF (dark).
constexpr bool is_skin_tone(uint32_t c) { return c >= 0x1F3FB && c <= 0x1F3FF; }
bool has_skin_tone(const CodePoints& sequence);

/// The sequence without U+FE0F: how CLDR's `cp` attribute spells it.
CodePoints without_presentation(const CodePoints& sequence);
/// Without U+FE0F and U+200D: how EmojiOne's file names spell it.
CodePoints without_joiners(const CodePoints& sequence);
/// Without U+FE0F and skin tones: the same for all tones of one person or gesture.
CodePoints without_tones(const CodePoints& sequence);

/// "1F468-200D-2695-FE0F": upper-case hexadecimal, at least four digits each, joined by '-'.
std::string to_hex(const CodePoints& sequence);
/// Reads hexadecimal numbers parted by `separator`. False when a part is no code point.
bool parse_hex(std::string_view text, char separator, CodePoints& out);

std::string to_utf8(const CodePoints& sequence);

}  // namespace mome
