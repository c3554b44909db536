#include "runtime/emoji/sequence.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mome {
namespace {

template <class F>
CodePoints without_if(const CodePoints& sequence, F drop) {
  CodePoints out;
  std::copy_if(sequence.begin(), sequence.end(), std::back_inserter(out),
               [&](uint32_t c) { return !drop(c); });
  return out;
}

}  // namespace

bool has_skin_tone(const CodePoints& sequence) {
  return std::any_of(sequence.begin(), sequence.end(), is_skin_tone);
}

CodePoints without_presentation(const CodePoints& sequence) {
  return without_if(sequence, [](uint32_t c) { return c == kEmojiPresentation; });
}

CodePoints without_joiners(const CodePoints& sequence) {
  return without_if(sequence, [](uint32_t c) { return c == kEmojiPresentation || c == kJoiner; });
}

CodePoints without_tones(const CodePoints& sequence) {
  return without_if(sequence,
                    [](uint32_t c) { return c == kEmojiPresentation || is_skin_tone(c); });
}

std::string to_hex(const CodePoints& sequence) {
  std::string out;
  for (uint32_t c : sequence) out += fmt::format("{}{:04X}", out.empty() ? "" : "-", c);
  return out;
}

bool parse_hex(std::string_view text, char separator, CodePoints& out) {
  out.clear();
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    const char* last = text.data() + end;
    uint32_t c = 0;
    const auto [stop, error] = std::from_chars(text.data(), last, c, 16);
    if (error != std::errc() || stop != last || c == 0 || c > 0x10FFFF) return false;
    out.push_back(c);
    if (end + 1 == text.size()) return false;  // a separator with nothing behind it
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return !out.empty();
}

std::string to_utf8(const CodePoints& sequence) {
  std::string out;
  const auto push = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  for (uint32_t c : sequence) {
    if (c < 0x80) {
      push(c);
    } else if (c < 0x800) {
      push(0xC0 | c >> 6);
      push(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      push(0xE0 | c >> 12);
      push(0x80 | (c >> 6 & 0x3F));
      push(0x80 | (c & 0x3F));
    } else {
      push(0xF0 | c >> 18);
      push(0x80 | (c >> 12 & 0x3F));
      push(0x80 | (c >> 6 & 0x3F));
      push(0x80 | (c & 0x3F));
    }
  }
  return out;
}

}  // namespace mome
