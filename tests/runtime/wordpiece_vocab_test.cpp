// Loading of vocabularies, what bad ones get, lookup, decoding, use from many threads.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/text/wordpiece.h"

namespace mome {
namespace {

const std::string kSpecial = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

class WordPieceVocab : public testing::Test {
 protected:
  WordPieceVocab() { std::filesystem::create_directories(folder_); }
  ~WordPieceVocab() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& bytes) const {
    const std::string path = folder_ + "/vocab.txt";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string error_of(const std::string& path) const {
    try {
      WordPiece::load(path);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  std::string folder_ = testing::TempDir() + "mome_vocab_" +
                        testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(WordPieceVocab, IdsAreLineNumbers) {
  const WordPiece w =
      WordPiece::load(write("[MASK]\r\nthe \n[SEP]\ndog\n[CLS]\n##s\n[PAD]\n[UNK]"));
  EXPECT_EQ(w.size(), 8);
  EXPECT_EQ(w.mask(), 0);
  EXPECT_EQ(w.sep(), 2);
  EXPECT_EQ(w.cls(), 4);
  EXPECT_EQ(w.pad(), 6);
  EXPECT_EQ(w.unk(), 7);
  EXPECT_EQ(w.token(1), "the");
  EXPECT_FALSE(w.continues(3));
  EXPECT_TRUE(w.continues(5));
  EXPECT_TRUE(w.is_special(7));
  EXPECT_FALSE(w.is_special(5));
  EXPECT_EQ(w.encode("The dogs"), (std::vector<int32_t>{1, 3, 5}));
}

TEST_F(WordPieceVocab, MissingFile) {
  EXPECT_EQ(error_of(folder_ + "/none.txt"),
            folder_ + "/none.txt: cannot open for reading: No such file or directory");
}

TEST_F(WordPieceVocab, FolderInsteadOfFile) {
  EXPECT_EQ(error_of(folder_),
            folder_ + ": cannot read: Is a directory");
}

TEST_F(WordPieceVocab, EmptyFile) {
  for (const char* bytes : {"", "\n", "\n \n\n"}) {
    const std::string path = write(bytes);
    EXPECT_EQ(error_of(path), path + ": the vocabulary is empty; expected one token a line");
  }
}

TEST_F(WordPieceVocab, EmptyLine) {
  const std::string path = write(kSpecial + "a\n\nb\n");
  EXPECT_EQ(error_of(path), path + ": line 7: empty; expected a token");
}

TEST_F(WordPieceVocab, DuplicateToken) {
  const std::string path = write(kSpecial + "a\nb\na\n");
  EXPECT_EQ(error_of(path),
            path + ": line 8: token \"a\" is already in line 6; expected each once");
}

TEST_F(WordPieceVocab, NotUtf8) {
  const std::string path = write(kSpecial + "caf\xE9\n");
  EXPECT_EQ(error_of(path), path + ": line 6: byte 4 is not UTF-8");
}

TEST_F(WordPieceVocab, EachSpecialTokenIsNeeded) {
  for (const char* missing : kSpecialTokens) {
    std::string bytes = "a\n";
    for (const char* token : kSpecialTokens)
      if (token != missing) bytes.append(token).append("\n");
    const std::string path = write(bytes);
    EXPECT_EQ(error_of(path), path + ": token " + missing +
                                  " is missing; expected [PAD], [UNK], [CLS], [SEP] and [MASK]");
  }
}

TEST_F(WordPieceVocab, DecodeJoinsPiecesAndLeavesOutLayout) {
  const WordPiece w = WordPiece::load(write(kSpecial + "dog\n##s\n,\n##\n"));
  EXPECT_EQ(w.decode(std::vector<int32_t>{2, 5, 6, 7, 4, 6, 1, 3, 0, 0}), "dogs , [MASK]s [UNK]");
  EXPECT_EQ(w.decode(std::vector<int32_t>{6}), "s");
  EXPECT_EQ(w.decode(std::vector<int32_t>{}), "");
  EXPECT_THROW(w.decode(std::vector<int32_t>{9}), Error);
  EXPECT_THROW(w.token(-1), Error);
}

TEST_F(WordPieceVocab, TooShortTextLength) {
  const WordPiece w = WordPiece::load(write(kSpecial));
  EXPECT_EQ(w.encode_text("dog", 2), (std::vector<int32_t>{2, 3}));
  EXPECT_THROW(w.encode_text("dog", 1), Error);
  EXPECT_THROW(w.encode_text("dog", -5), Error);
}

TEST_F(WordPieceVocab, ManyThreadsSeeTheSameIds) {
  const WordPiece w = WordPiece::load(MOME_SOURCE_DIR "/tests/runtime/text_data/vocab.txt");
  std::vector<std::string> texts;
  std::ifstream file(MOME_SOURCE_DIR "/tests/runtime/text_data/hard_cases.jsonl");
  for (std::string line; std::getline(file, line);) texts.push_back(line);
  std::vector<std::vector<int32_t>> alone;
  for (const std::string& text : texts) alone.push_back(w.encode(text));
  std::vector<std::vector<std::vector<int32_t>>> together(4);
  std::vector<std::thread> threads;
  for (auto& result : together)
    threads.emplace_back([&] {
      for (const std::string& text : texts) result.push_back(w.encode(text));
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : together) EXPECT_EQ(result, alone);
}

}  // namespace
}  // namespace mome
