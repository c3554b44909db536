// Arbitrary bytes: no crash, and the properties that any result must have.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/common/philox.h"
#include "runtime/text/normalize.h"
#include "runtime/text/wordpiece.h"

namespace mome {
namespace {

// Length of the valid character at the front, by the table of RFC 3629 §4; 0 if there is none.
size_t valid_prefix(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : 0; };
  const auto in = [&](size_t i, int low, int high) { return byte(i) >= low && byte(i) <= high; };
  const auto tail = [&](size_t i) { return in(i, 0x80, 0xBF); };
  if (in(0, 0x00, 0x7F)) return 1;
  if (in(0, 0xC2, 0xDF) && tail(1)) return 2;
  if (byte(0) == 0xE0 && in(1, 0xA0, 0xBF) && tail(2)) return 3;
  if (byte(0) == 0xED && in(1, 0x80, 0x9F) && tail(2)) return 3;
  if (in(0, 0xE1, 0xEF) && byte(0) != 0xED && tail(1) && tail(2)) return 3;
  if (byte(0) == 0xF0 && in(1, 0x90, 0xBF) && tail(2) && tail(3)) return 4;
  if (in(0, 0xF1, 0xF3) && tail(1) && tail(2) && tail(3)) return 4;
  if (byte(0) == 0xF4 && in(1, 0x80, 0x8F) && tail(2) && tail(3)) return 4;
  return 0;
}

std::string with_replacement_characters(std::string_view s) {
  std::string out;
  while (!s.empty()) {
    const size_t n = valid_prefix(s);
    if (n > 0)
      out.append(s.substr(0, n));
    else
      out.append("\uFFFD");
    s.remove_prefix(std::max<size_t>(n, 1));
  }
  return out;
}

std::string random_bytes(uint64_t index) {
  // Bytes that matter in UTF-8 and in the special tokens, so that near misses are frequent.
  static const std::string kEdges(
      "\x00\x20\x41\x5B\x5D\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xCC\xDF\xE0\xE1\xE4\xED\xEF"
      "\xF0\xF1\xF3\xF4\xF5\xFF",
      28);
  RandomStream random(5, 0, Purpose::kTest, index);
  std::string s(random.below(60), '\0');
  for (char& c : s)
    c = index % 2 ? char(random.below(256)) : kEdges[random.below(uint32_t(kEdges.size()))];
  return s;
}

TEST(WordPieceRobustness, RandomBytes) {
  const WordPiece w = WordPiece::load(MOME_SOURCE_DIR "/tests/runtime/text_data/vocab.txt");
  for (uint64_t i = 0; i < 40000; ++i) {
    const std::string text = random_bytes(i), clean = with_replacement_characters(text);
    const std::string normal = normalize(text);
    ASSERT_EQ(normal, normalize(clean)) << i;
    ASSERT_EQ(find_invalid_utf8(normal), std::string_view::npos) << i;
    ASSERT_EQ(find_invalid_utf8(text) == std::string_view::npos, text == clean) << i;
    std::string words, letters = normal;
    std::erase(letters, ' ');
    std::string_view rest = normal;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest))
      words.append(word);
    ASSERT_EQ(words, letters) << i;
    const std::vector<int32_t> ids = w.encode(text);
    ASSERT_EQ(ids, w.encode(clean)) << i;
    for (const int32_t id : ids) ASSERT_TRUE(id >= 0 && id < w.size()) << i;
    ASSERT_LE(w.encode_text(text, 8).size(), 8u);
  }
}

TEST(WordPieceRobustness, WordsOfTextThatWasNotNormalisedEnd) {
  for (uint64_t i = 0; i < 2000; ++i) {
    const std::string text = random_bytes(i);
    std::string_view rest = text;
    size_t bytes = 0;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest))
      bytes += word.size();
    ASSERT_LE(bytes, text.size());
  }
}

TEST(WordPieceRobustness, MegabyteOfOneThing) {
  const WordPiece w = WordPiece::load(MOME_SOURCE_DIR "/tests/runtime/text_data/vocab.txt");
  std::string marks, kept_marks, letters(1 << 20, 'a'), brackets(1 << 20, '[');
  for (int i = 0; i < 1 << 19; ++i) marks += "\u0301";
  for (int i = 0; i < 1 << 18; ++i) kept_marks += i % 2 ? "\u302E" : "\u1B44";
  EXPECT_TRUE(w.encode(marks).empty());
  EXPECT_EQ(w.encode(kept_marks), std::vector<int32_t>{w.unk()});
  EXPECT_EQ(w.encode(letters), std::vector<int32_t>{w.unk()});
  EXPECT_EQ(w.encode(brackets).size(), size_t(1) << 20);
}

}  // namespace
}  // namespace mome
