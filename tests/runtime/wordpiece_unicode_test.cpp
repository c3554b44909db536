// Every code point, alone and between two letters, gives the words that Hugging Face `tokenizers`
// gives (tests/peers/tokenizer_golden.py wrote a hash for each 1,024 of them).
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "runtime/text/normalize.h"

namespace mome {
namespace {

std::string utf8(uint32_t c) {
  std::string s;
  if (c < 0x80) return std::string(1, char(c));
  if (c < 0x800) {
    s += char(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    s += char(0xE0 | c >> 12);
    s += char(0x80 | (c >> 6 & 63));
  } else {
    s += char(0xF0 | c >> 18);
    s += char(0x80 | (c >> 12 & 63));
    s += char(0x80 | (c >> 6 & 63));
  }
  return s += char(0x80 | (c & 63));
}

std::string between_letters(uint32_t c) { return std::string("a").append(utf8(c)).append("B"); }

void add_hash(const std::string& text, uint64_t& hash) {
  std::string normal = normalize(text), joined;
  std::string_view rest = normal;
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest))
    joined.append(word).push_back('\x01');
  joined.push_back('\x02');
  for (const char byte : joined) hash = (hash ^ uint8_t(byte)) * 0x100000001B3ull;
}

TEST(WordPieceUnicode, EveryCodePoint) {
  std::ifstream file(MOME_SOURCE_DIR "/tests/runtime/text_data/code_points.txt");
  uint32_t first;
  uint64_t expected;
  int blocks = 0;
  while (file >> std::hex >> first >> expected) {
    uint64_t hash = 0xCBF29CE484222325ull;
    for (uint32_t c = first; c < first + 1024; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      add_hash(utf8(c), hash);
      add_hash(between_letters(c), hash);
    }
    EXPECT_EQ(hash, expected) << "in the block from U+" << std::hex << first;
    ++blocks;
  }
  EXPECT_EQ(blocks, 0x110000 / 1024);
}

TEST(WordPieceUnicode, SurrogatesInBytesVanish) {
  for (uint32_t c = 0xD800; c < 0xE000; ++c) ASSERT_EQ(normalize(between_letters(c)), "ab") << c;
}

}  // namespace
}  // namespace mome
