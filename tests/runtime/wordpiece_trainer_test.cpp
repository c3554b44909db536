#include "runtime/text/wordpiece_trainer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "kernels/common/philox.h"
#include "runtime/core/error.h"
#include "runtime/text/wordpiece.h"

namespace mome {
namespace {

using Tokens = std::vector<std::string>;

// The same rule with everything counted again for every merge, for lines of ASCII letters. Ids are
// positions in the vocabulary, so the tie rule is the header's.
Tokens train_naively(const Tokens& lines, size_t size, int64_t min_frequency) {
  std::map<std::string, int64_t> counts;
  for (const std::string& line : lines) {
    for (size_t begin = 0; begin < line.size();) {
      const size_t end = std::min(line.find(' ', begin), line.size());
      if (end > begin) ++counts[line.substr(begin, end - begin)];
      begin = end + 1;
    }
  }
  std::set<std::string> plain, continuing;
  for (const auto& [word, count] : counts) {
    for (size_t i = 0; i < word.size(); ++i) {
      plain.insert(word.substr(i, 1));
      if (i > 0) continuing.insert("##" + word.substr(i, 1));
    }
  }
  Tokens tokens(std::begin(kSpecialTokens), std::end(kSpecialTokens));
  tokens.insert(tokens.end(), plain.begin(), plain.end());
  tokens.insert(tokens.end(), continuing.begin(), continuing.end());
  const auto id_of = [&](const std::string& token) {
    return int(std::find(tokens.begin(), tokens.end(), token) - tokens.begin());
  };
  std::vector<std::pair<std::vector<int>, int64_t>> words;
  for (const auto& [word, count] : counts) {
    std::vector<int> pieces;
    for (size_t i = 0; i < word.size(); ++i)
      pieces.push_back(id_of((i > 0 ? "##" : "") + word.substr(i, 1)));
    words.emplace_back(pieces, count);
  }
  while (tokens.size() < size) {
    std::map<std::pair<int, int>, int64_t> pairs;
    for (const auto& [pieces, count] : words)
      for (size_t i = 0; i + 1 < pieces.size(); ++i) pairs[{pieces[i], pieces[i + 1]}] += count;
    std::pair<int, int> best;
    int64_t best_count = 0;
    for (const auto& [pair, count] : pairs)  // ascending ids: the first of equals stays
      if (count > best_count) best = pair, best_count = count;
    if (best_count < min_frequency || best_count == 0) break;
    const std::string spelled = tokens[best.first] + tokens[best.second].substr(2);
    int merged = id_of(spelled);
    if (merged == int(tokens.size())) tokens.push_back(spelled);
    for (auto& [pieces, count] : words) {
      std::vector<int> rewritten;
      for (size_t i = 0; i < pieces.size(); ++i) {
        if (i + 1 < pieces.size() && pieces[i] == best.first && pieces[i + 1] == best.second) {
          rewritten.push_back(merged);
          ++i;
        } else {
          rewritten.push_back(pieces[i]);
        }
      }
      pieces = rewritten;
    }
  }
  return tokens;
}

// Words over few letters with many repeats ("aaa"): overlapping pairs and equal counts everywhere.
Tokens random_lines(uint64_t index, int count, int letters, int longest) {
  RandomStream random(11, 0, Purpose::kTest, index);
  Tokens lines;
  for (int i = 0; i < count; ++i) {
    std::string line;
    for (uint32_t word = random.below(8); word > 0; --word) {
      for (uint32_t n = 1 + random.below(uint32_t(longest)); n > 0; --n)
        line += char('a' + random.below(uint32_t(letters)));
      line += ' ';
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(WordPieceTrainer, ByHand) {
  // Pairs: (h,##u) 15+5, (##u,##g) 15+12, (p,##u) 12, (##u,##n) 5. So first "##ug" (27), then "hug"
  // (15) before "pug" (12), then (h,##u) and (##u,##n) at 5 each: "hu" has the lower left id.
  Tokens lines;
  for (int i = 0; i < 15; ++i) lines.push_back("Hug");
  for (int i = 0; i < 12; ++i) lines.push_back("pug");
  for (int i = 0; i < 5; ++i) lines.push_back("hun");
  const Tokens expected = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "g",   "h",   "n",  "p",
                           "u",     "##g",   "##n",   "##u",   "##ug",   "hug", "pug", "hu", "hun"};
  EXPECT_EQ(train_wordpiece(lines, 100, 1), expected);
  EXPECT_EQ(train_wordpiece(lines, 100, 13), Tokens(expected.begin(), expected.begin() + 15));
}

TEST(WordPieceTrainer, EqualsRecountingForEachMerge) {
  for (uint64_t i = 0; i < 60; ++i) {
    const Tokens lines = random_lines(i, 40, 2 + int(i % 5), 3 + int(i % 11));
    const int size = 40 + int(i) * 4, min_frequency = 1 + int(i % 3);
    EXPECT_EQ(train_wordpiece(lines, size, min_frequency),
              train_naively(lines, size_t(size), min_frequency))
        << i;
  }
}

TEST(WordPieceTrainer, OrderOfLinesDoesNotMatter) {
  Tokens lines = random_lines(100, 3000, 12, 9);
  const Tokens tokens = train_wordpiece(lines, 900, 2);
  EXPECT_EQ(tokens.size(), 900u);
  std::reverse(lines.begin(), lines.end());
  std::rotate(lines.begin(), lines.begin() + 1234, lines.end());
  EXPECT_EQ(train_wordpiece(lines, 900, 2), tokens);
}

TEST(WordPieceTrainer, ItsWordsAreKnownAndTokensUnique) {
  const Tokens lines = random_lines(7, 100000, 26, 8);
  const Tokens tokens = train_wordpiece(lines, 4000, 2);
  EXPECT_EQ(tokens.size(), 4000u);
  const WordPiece w =
      WordPiece::from_tokens(tokens, "trained");  // throws if a token is there twice
  size_t pieces = 0, letters = 0;
  for (const std::string& line : lines) {
    for (const int32_t id : w.encode(line)) {
      ASSERT_NE(id, w.unk());
      ++pieces;
    }
    letters += size_t(std::count_if(line.begin(), line.end(), [](char c) { return c != ' '; }));
  }
  EXPECT_LT(pieces * 4, letters * 3);  // the merges are used
}

TEST(WordPieceTrainer, NormalisesAndLeavesOverlongWordsOut) {
  const Tokens tokens = train_wordpiece({"Café!", std::string(101, 'z'), "\xFF\u200B"}, 50, 1);
  const std::set<std::string> set(tokens.begin(), tokens.end());
  EXPECT_TRUE(set.contains("cafe"));
  EXPECT_TRUE(set.contains("!"));
  EXPECT_FALSE(set.contains("##!"));
  EXPECT_FALSE(set.contains("z"));
}

TEST(WordPieceTrainer, AlphabetTakesAtMostHalf) {
  // "a" and "b" are frequent; each of 40 other letters occurs once, in a word with "a".
  Tokens lines(100, "ab a b");
  for (int i = 0; i < 40; ++i) {
    std::string c = "\u4E00";  // ideographs are words of their own: no "##" form
    c.back() = char(c.back() + i);
    lines.push_back(c);
  }
  const Tokens tokens = train_wordpiece(lines, 25, 1);
  // Half of 20 is 10: a, b, ##b and the seven lowest ideographs; then the only merge, "ab".
  ASSERT_EQ(tokens.size(), 16u);
  EXPECT_EQ(Tokens(tokens.begin() + 5, tokens.end()),
            (Tokens{"a", "b", "\u4E00", "\u4E01", "\u4E02", "\u4E03", "\u4E04", "\u4E05", "\u4E06",
                    "##b", "ab"}));
}

TEST(WordPieceTrainer, BadArguments) {
  EXPECT_THROW(train_wordpiece({"a"}, 6, 1), Error);
  EXPECT_THROW(train_wordpiece({"a"}, 100, 0), Error);
  EXPECT_THROW(train_wordpiece({}, 100, 1), Error);
  EXPECT_THROW(train_wordpiece({"", " \t", "\u200B"}, 100, 1), Error);
  EXPECT_EQ(train_wordpiece({"a"}, 7, 1).size(), 6u);
}

class SaveVocab : public testing::Test {
 protected:
  SaveVocab() { std::filesystem::create_directories(folder_); }
  ~SaveVocab() override { std::filesystem::remove_all(folder_); }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string folder_ = testing::TempDir() + "mome_save_vocab_" +
                        testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(SaveVocab, RoundTrip) {
  const Tokens tokens = train_wordpiece({"the dog", "dogs"}, 60, 1);
  const std::string path = folder_ + "/vocab.txt";
  save_vocab(path, {"old"});
  save_vocab(path, tokens);
  const WordPiece w = WordPiece::load(path);
  ASSERT_EQ(size_t(w.size()), tokens.size());
  for (int32_t id = 0; id < w.size(); ++id) EXPECT_EQ(w.token(id), tokens[size_t(id)]);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(SaveVocab, MakesItsFolder) {
  save_vocab(folder_ + "/new/vocab.txt", {"a"});
  EXPECT_EQ(read(folder_ + "/new/vocab.txt"), "a\n");
}

// A limit on file size stands for a full disk: writing fails in the middle.
TEST_F(SaveVocab, FailedWriteLeavesTheOldFileWhole) {
  const std::string path = folder_ + "/vocab.txt";
  save_vocab(path, {"old", "words"});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    save_vocab(path, Tokens(1000, "word"));
  } catch (const Error& e) {
    message = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_TRUE(message.starts_with(path + ": cannot write")) << message;
  EXPECT_TRUE(message.ends_with("File too large")) << message;
  EXPECT_EQ(read(path), "old\nwords\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace mome
