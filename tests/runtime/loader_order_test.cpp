// The order of samples and the draw of captions.
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "runtime/data/caption_draw.h"
#include "runtime/data/order.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

TEST(LoaderOrder, EveryEpochIsAPermutationOfItsOwn) {
  for (const int n : {0, 1, 2, 7, 1000}) {
    std::vector<int32_t> sorted(n);
    std::iota(sorted.begin(), sorted.end(), 0);
    auto order = permutation(n, 5, 0);
    EXPECT_EQ(order, permutation(n, 5, 0));
    if (n == 1000) {
      EXPECT_NE(order, permutation(n, 5, 1));
      EXPECT_NE(order, permutation(n, 6, 0));
    }
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, sorted);
  }
}

TEST(LoaderOrder, PermutationsAreUniform) {
  // 24 permutations of 4, 12,000 epochs: chi-square with 23 degrees of freedom, 99.9 % below 49.7.
  std::map<std::vector<int32_t>, int> counts;
  constexpr int kEpochs = 12000;
  for (int epoch = 0; epoch < kEpochs; ++epoch) ++counts[permutation(4, 1, epoch)];
  ASSERT_EQ(counts.size(), 24u);
  double chi = 0;
  for (const auto& [order, count] : counts)
    chi += std::pow(count - kEpochs / 24.0, 2) / (kEpochs / 24.0);
  EXPECT_LT(chi, 49.7);
}

TEST(LoaderOrder, SamplesFollowThePermutationsFromAnywhere) {
  const SampleOrder order(5, 3);
  for (const int64_t g : {0, 4, 5, 63, 17, 2, 1'000'003}) {
    const auto sample = order.at(g);
    EXPECT_EQ(sample.epoch, uint64_t(g / 5));
    EXPECT_EQ(sample.record, permutation(5, 3, g / 5)[g % 5]);
  }
}

TEST(LoaderOrder, CaptionsAreDrawnUniformly) {
  Record record;
  record.captions = {"a", "b", "c"};
  std::map<std::string, int> counts;
  for (int epoch = 0; epoch < 3000; ++epoch) ++counts[draw_caption(record, 0.5, 1, epoch, 7)];
  ASSERT_EQ(counts.size(), 3u);
  // Four standard deviations of a binomial(3000, 1/3).
  for (const auto& [text, count] : counts) EXPECT_NEAR(count, 1000, 4 * std::sqrt(3000 * 2 / 9.0));
}

TEST(LoaderOrder, KeywordCaptions) {
  Record record;
  record.captions = {"c"};
  record.keywords = {"v", "w", "x", "y", "z"};
  int plain = 0, with_caption = 0;
  std::map<size_t, int> lengths;
  constexpr int kDraws = 4000;
  for (int sample = 0; sample < kDraws; ++sample) {
    std::string text = draw_caption(record, 0.4, 1, 0, sample);
    if (text == "c") {
      ++plain;
      continue;
    }
    if (text.starts_with("c: ")) {
      ++with_caption;
      text = text.substr(3);
    }
    std::set<char> seen;
    for (size_t i = 0; i < text.size(); i += 3) {
      EXPECT_TRUE(text[i] >= 'v' && text[i] <= 'z') << text;
      EXPECT_TRUE(seen.insert(text[i]).second) << text;  // no keyword twice
      if (i + 1 < text.size()) {
        EXPECT_EQ(text.substr(i + 1, 2), ", ");
      }
    }
    ++lengths[seen.size()];
  }
  EXPECT_NEAR(plain, 0.6 * kDraws, 4 * std::sqrt(0.24 * kDraws));
  EXPECT_NEAR(with_caption, 0.2 * kDraws, 4 * std::sqrt(0.16 * kDraws));
  ASSERT_EQ(lengths.size(), 4u);
  for (const auto& [length, count] : lengths) {
    EXPECT_TRUE(length >= 1 && length <= 4);
    EXPECT_NEAR(count, 0.1 * kDraws, 4 * std::sqrt(0.09 * kDraws));
  }
  record.captions.clear();
  EXPECT_EQ(draw_caption(record, 0, 1, 0, 0).find(':'), std::string::npos);
}

}  // namespace
}  // namespace mome
