#include "runtime/text/masking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "runtime/core/error.h"

namespace mome {
namespace {

// Ids 0-4 are special, 5-24 start words, 25-44 continue them.
WordPiece make_vocabulary() {
  std::vector<std::string> tokens(std::begin(kSpecialTokens), std::end(kSpecialTokens));
  for (char c = 'a'; c < 'a' + 20; ++c) tokens.push_back(std::string(1, c));
  for (char c = 'a'; c < 'a' + 20; ++c) tokens.push_back(std::string("##") + c);
  return WordPiece::from_tokens(tokens, "test vocabulary");
}

const WordPiece kVocabulary = make_vocabulary();
constexpr int32_t kCls = 2, kSep = 3, kUnk = 1, kMask = 4;

// Words of 1, 2, 3, 1, 1 and 2 pieces, an unknown one between; 10 real tokens.
const std::vector<int32_t> kText = {kCls, 5, 6, 26, 7, 27, 28, kUnk, 8, 9, 10, 30, kSep};
const std::vector<int> kWordOf = {-1, 0, 1, 1, 2, 2, 2, -1, 3, 4, 5, 5, -1};

std::vector<int32_t> singles(int n) {
  std::vector<int32_t> tokens = {kCls};
  for (int i = 0; i < n; ++i) tokens.push_back(5 + i % 20);
  tokens.push_back(kSep);
  return tokens;
}

void expect_consistent(const std::vector<int32_t>& before, const MaskedText& after) {
  ASSERT_EQ(after.tokens.size(), before.size());
  ASSERT_EQ(after.labels.size(), after.positions.size());
  std::vector<bool> chosen(before.size());
  for (size_t i = 0; i < after.positions.size(); ++i) {
    const int32_t at = after.positions[i];
    ASSERT_TRUE(at >= 0 && size_t(at) < before.size());
    ASSERT_LT(i > 0 ? after.positions[i - 1] : -1, at);
    EXPECT_EQ(after.labels[i], before[at]);
    EXPECT_FALSE(kVocabulary.is_special(before[at]));
    chosen[at] = true;
  }
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(chosen[i] || after.tokens[i] == before[i]) << i;
}

TEST(Masking, WholeWordsWithinTheBudget) {
  for (const double rate : {0.1, 0.15, 0.3, 0.5, 1.0}) {
    const size_t budget = size_t(std::max(1.0, std::nearbyint(rate * 10)));
    for (uint64_t i = 0; i < 300; ++i) {
      const MaskedText m = mask_words(kText, kVocabulary, rate, 1, 0, i);
      expect_consistent(kText, m);
      EXPECT_GE(m.positions.size(), 1u);
      EXPECT_LE(m.positions.size(), budget);
      std::set<int> words;
      for (const int32_t at : m.positions) words.insert(kWordOf[at]);
      size_t tokens = 0;
      for (const int word : words) tokens += std::count(kWordOf.begin(), kWordOf.end(), word);
      EXPECT_EQ(tokens, m.positions.size());
      EXPECT_EQ(m.positions.size() == 10, rate == 1.0);
    }
  }
}

TEST(Masking, BudgetIsExactForWordsOfOnePiece) {
  // Half to even: 0.15 * 10 = 1.5 -> 2; 0.5 * 5 = 2.5 -> 2; 0.25 * 2 = 0.5 -> 0, raised to 1.
  for (const auto& [n, rate, budget] : std::vector<std::tuple<int, double, size_t>>{
           {10, 0.15, 2}, {5, 0.5, 2}, {2, 0.25, 1}, {1, 0.01, 1}, {38, 0.15, 6}, {7, 1.0, 7}})
    for (uint64_t i = 0; i < 20; ++i)
      EXPECT_EQ(mask_words(singles(n), kVocabulary, rate, 1, 0, i).positions.size(), budget);
}

TEST(Masking, AtLeastOneWordEvenIfItOverflows) {
  const std::vector<int32_t> text = {kCls, 5, 26, 27, 28, kSep};
  for (uint64_t i = 0; i < 20; ++i)
    EXPECT_EQ(mask_words(text, kVocabulary, 0.15, 1, 0, i).positions,
              (std::vector<int32_t>{1, 2, 3, 4}));
}

TEST(Masking, NothingToMask) {
  for (const std::vector<int32_t>& text :
       {std::vector<int32_t>{}, {kCls, kSep}, {kCls, kUnk, kUnk, kSep}, {kCls, kMask, 0, kSep}}) {
    const MaskedText m = mask_words(text, kVocabulary, 1.0, 1, 2, 3);
    EXPECT_EQ(m.tokens, text);
    EXPECT_TRUE(m.positions.empty());
    const MaskedText published =
        mask_words(text, kVocabulary, 1.0, 1, 2, 3, MaskRule::kPaddedAsPublished, 8);
    EXPECT_EQ(published.tokens, text);
    EXPECT_TRUE(published.positions.empty());
  }
  EXPECT_TRUE(mask_words(kText, kVocabulary, 0, 1, 0, 0).positions.empty());
}

TEST(Masking, PieceAfterAnUnknownWordStandsAlone) {
  const std::vector<int32_t> text = {kCls, 5, kUnk, 26, kSep};
  std::set<std::vector<int32_t>> seen;
  for (uint64_t i = 0; i < 100; ++i)
    seen.insert(mask_words(text, kVocabulary, 0.5, 1, 0, i).positions);
  EXPECT_EQ(seen, (std::set<std::vector<int32_t>>{{1}, {3}}));
}

TEST(Masking, DependsOnSeedStepAndIndexAlone) {
  const auto text = singles(38);
  const auto draw = [&](uint64_t seed, uint64_t step, uint64_t index) {
    return mask_words(text, kVocabulary, 0.3, seed, step, index).tokens;
  };
  EXPECT_EQ(draw(1, 2, 3), draw(1, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(2, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 3, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 2, 4));
}

// Five standard errors of a share p of n.
double five_errors(double p, double n) { return 5 * std::sqrt(p * (1 - p) / n); }

TEST(Masking, EightyTenTenAndUniformReplacements) {
  for (const MaskRule rule : {MaskRule::kWords, MaskRule::kPaddedAsPublished}) {
    const bool published = rule == MaskRule::kPaddedAsPublished;
    const std::vector<int32_t> text(60, 5);
    std::vector<double> seen(size_t(kVocabulary.size()));
    double n = 0;
    for (uint64_t i = 0; i < 2000; ++i) {
      const MaskedText m = mask_words(text, kVocabulary, 1.0, 3, 1, i, rule, 60);
      n += double(m.positions.size());
      for (const int32_t id : m.tokens) ++seen[size_t(id)];
    }
    ASSERT_EQ(n, 120000);
    // A random replacement falls on each of the 40 plain tokens, or of all 45 as published.
    const double each = 0.1 / (published ? 45 : 40);
    for (int32_t id = 0; id < kVocabulary.size(); ++id) {
      double share = !published && kVocabulary.is_special(id) ? 0 : each;
      if (id == kMask) share += 0.8;
      if (id == 5) share += 0.1;
      EXPECT_NEAR(seen[size_t(id)] / n, share, five_errors(share, n)) << id << published;
    }
  }
}

TEST(Masking, EveryWordIsEquallyLikely) {
  const auto text = singles(9);
  std::vector<double> chosen(text.size());
  const int n = 20000;
  for (uint64_t i = 0; i < n; ++i)
    for (const int32_t at : mask_words(text, kVocabulary, 0.3, 4, 0, i).positions) ++chosen[at];
  for (int i = 1; i <= 9; ++i) EXPECT_NEAR(chosen[i] / n, 3.0 / 9, five_errors(3.0 / 9, n)) << i;
}

// 10 tokens padded to 40 are chosen from 38 candidates with a budget of 6: the number of real ones
// is hypergeometric, mean 6 * 10 / 38 = 1.58, and none with probability C(28,6) / C(38,6) = 13.6 %.
TEST(Masking, AsPublishedPaddingEatsTheBudget) {
  const auto text = singles(10);
  const int n = 40000;
  double masked = 0, none = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const MaskedText m =
        mask_words(text, kVocabulary, 0.15, 5, 0, i, MaskRule::kPaddedAsPublished, 40);
    expect_consistent(text, m);
    masked += double(m.positions.size());
    none += m.positions.empty();
  }
  double p_none = 1;
  for (int i = 0; i < 6; ++i) p_none *= (28.0 - i) / (38.0 - i);
  const double p = 10.0 / 38, variance = 6 * p * (1 - p) * (38 - 6) / (38 - 1);
  EXPECT_NEAR(masked / n, 6 * p, 5 * std::sqrt(variance / n));
  EXPECT_NEAR(none / n, p_none, five_errors(p_none, n));
}

// A text that fills its length loses nothing to padding: what is masked is the budget itself.
TEST(Masking, AsPublishedBudgetsOfTheTwoLengths) {
  for (const auto& [length, budget] : {std::pair{40, 6}, {196, 29}})
    for (uint64_t i = 0; i < 50; ++i)
      EXPECT_EQ(mask_words(singles(length - 2), kVocabulary, 0.15, 7, 0, i,
                           MaskRule::kPaddedAsPublished, length)
                    .positions.size(),
                size_t(budget));
}

TEST(Masking, AsPublishedDropsUnknownWordsAndSkipsOverflow) {
  // Budget 2 of 13: the word of three pieces never fits; [UNK] counts as chosen but is dropped.
  bool empty = false;
  for (uint64_t i = 0; i < 500; ++i) {
    const MaskedText m =
        mask_words(kText, kVocabulary, 0.15, 6, 0, i, MaskRule::kPaddedAsPublished, 13);
    expect_consistent(kText, m);
    EXPECT_LE(m.positions.size(), 2u);
    for (const int32_t at : m.positions) EXPECT_NE(kWordOf[at], 2);
    empty |= m.positions.empty();
  }
  EXPECT_FALSE(empty);  // [UNK] takes one of two places at most
}

TEST(Masking, BadArguments) {
  EXPECT_THROW(mask_words(kText, kVocabulary, -0.1, 1, 0, 0), Error);
  EXPECT_THROW(mask_words(kText, kVocabulary, 1.1, 1, 0, 0), Error);
  EXPECT_THROW(mask_words(kText, kVocabulary, NAN, 1, 0, 0), Error);
  EXPECT_THROW(mask_words(std::vector<int32_t>{45}, kVocabulary, 0.1, 1, 0, 0), Error);
  EXPECT_THROW(mask_words(kText, kVocabulary, 0.1, 1, 0, 0, MaskRule::kPaddedAsPublished, 12),
               std::logic_error);
}

}  // namespace
}  // namespace mome
