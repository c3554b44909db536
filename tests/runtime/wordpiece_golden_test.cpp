// Equality with Hugging Face `tokenizers` on the cases of tests/peers/tokenizer_golden.py.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/text/normalize.h"
#include "runtime/text/wordpiece.h"

namespace mome {
namespace {

const std::string kData = MOME_SOURCE_DIR "/tests/runtime/text_data/";

struct Case {
  std::string text;
  std::vector<std::string> words;
  std::vector<int32_t> ids;
};

std::vector<Case> read_cases() {
  std::ifstream file(kData + "hard_cases.jsonl");
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line);
    Case c{"", record.at("words"), record.at("ids")};
    if (record.contains("text")) {
      c.text = record.at("text");
    } else {
      const std::string hex = record.at("hex");
      for (size_t i = 0; i < hex.size(); i += 2)
        c.text.push_back(char(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    cases.push_back(std::move(c));
  }
  return cases;
}

std::vector<std::string> words_of(std::string_view text) {
  const std::string normal = normalize(text);
  std::string_view rest = normal;
  std::vector<std::string> words;
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest))
    words.emplace_back(word);
  return words;
}

std::string escaped(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

TEST(WordPieceGolden, WordsOfHardCases) {
  const std::vector<Case> cases = read_cases();
  ASSERT_GT(cases.size(), 500u);
  for (const Case& c : cases) EXPECT_EQ(words_of(c.text), c.words) << escaped(c.text);
}

TEST(WordPieceGolden, IdsOfHardCases) {
  const WordPiece w = WordPiece::load(kData + "vocab.txt");
  for (const Case& c : read_cases()) EXPECT_EQ(w.encode(c.text), c.ids) << escaped(c.text);
}

TEST(WordPieceGolden, EncodeTextAddsSpecialTokensAndCutsAtTheEnd) {
  const WordPiece w = WordPiece::load(kData + "vocab.txt");
  for (const Case& c : read_cases()) {
    for (const int length : {2, 3, 7, 40}) {
      std::vector<int32_t> expected(c.ids.begin(),
                                    c.ids.begin() + std::min<size_t>(c.ids.size(), length - 2));
      expected.insert(expected.begin(), w.cls());
      expected.push_back(w.sep());
      EXPECT_EQ(w.encode_text(c.text, length), expected) << escaped(c.text) << " at " << length;
    }
  }
}

}  // namespace
}  // namespace mome
