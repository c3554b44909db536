// Retrieval figures against a literal count, and the fusion figures against one sequence at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/common/philox.h"
#include "models/evaluation/fusion.h"
#include "models/evaluation/retrieval.h"

namespace mome {
namespace {

TEST(Retrieval, CountsLiterally) {
  RandomStream random(5, 0, Purpose::kTest, 0);
  const int64_t images = 37, texts = 61, dim = 3;
  std::vector<float> image, text;
  for (int64_t i = 0; i < images * dim; ++i)
    image.push_back(float(int(random.below(5)) - 2));  // small integers: many equal scores
  for (int64_t i = 0; i < texts * dim; ++i) text.push_back(float(int(random.below(5)) - 2));
  std::vector<std::vector<int32_t>> right(texts);
  for (auto& r : right) {
    for (int32_t i = 0; i < images; ++i)
      if (random.below(20) == 0) r.push_back(i);
    if (r.empty()) r.push_back(int32_t(random.below(uint32_t(images))));
  }
  const RetrievalResult got = retrieval(images, texts, dim, image.data(), text.data(), right);
  const auto score = [&](int64_t t, int64_t i) {
    float s = 0;
    for (int64_t d = 0; d < dim; ++d) s += text[size_t(t * dim + d)] * image[size_t(i * dim + d)];
    return s;
  };
  for (int64_t k : {1, 5, 10}) {
    int64_t t2i = 0, i2t = 0, asked = 0;
    for (int64_t t = 0; t < texts; ++t) {
      std::vector<int32_t> order(images);
      for (int32_t i = 0; i < images; ++i) order[size_t(i)] = i;
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return score(t, a) > score(t, b); });
      bool hit = false;
      for (int64_t j = 0; j < k; ++j)
        hit = hit || std::count(right[size_t(t)].begin(), right[size_t(t)].end(), order[size_t(j)]);
      t2i += hit;
    }
    for (int64_t i = 0; i < images; ++i) {
      std::vector<int32_t> order(texts);
      bool any = false;
      for (int32_t t = 0; t < texts; ++t) {
        order[size_t(t)] = t;
        any = any || std::count(right[size_t(t)].begin(), right[size_t(t)].end(), int32_t(i));
      }
      if (!any) continue;
      ++asked;
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return score(a, i) > score(b, i); });
      bool hit = false;
      for (int64_t j = 0; j < k; ++j) {
        const auto& r = right[size_t(order[size_t(j)])];
        hit = hit || std::count(r.begin(), r.end(), int32_t(i));
      }
      i2t += hit;
    }
    const double a = k == 1   ? got.text_to_image.r1
                     : k == 5 ? got.text_to_image.r5
                              : got.text_to_image.r10;
    const double b = k == 1   ? got.image_to_text.r1
                     : k == 5 ? got.image_to_text.r5
                              : got.image_to_text.r10;
    EXPECT_NEAR(a, double(t2i) / double(texts), 1e-12) << k;
    EXPECT_NEAR(b, double(i2t) / double(asked), 1e-12) << k;
  }
}

TEST(Retrieval, SubsetsOfQueriesKeepTheWholeGallery) {
  // Text 1's right image loses to image 2, text 0's wins.
  const std::vector<float> image = {1, 0, 0, 1, 0, 2}, text = {1, 0, 0, 1};
  const RetrievalResult all = retrieval(3, 2, 2, image.data(), text.data(), {{0}, {1}});
  EXPECT_EQ(all.text_to_image.r1, 0.5);
  EXPECT_EQ(all.image_to_text.r1, 1);  // image 2 has no right text and is not asked
  EXPECT_EQ(all.images, 2);
  const RetrievalResult one =
      retrieval(3, 2, 2, image.data(), text.data(), {{0}, {1}}, {0, 1, 0}, {0, 1});
  EXPECT_EQ(one.texts, 1);
  EXPECT_EQ(one.images, 1);
  EXPECT_EQ(one.text_to_image.r1, 0);
  EXPECT_EQ(one.text_to_image.r5, 1);
  EXPECT_NEAR(one.chance.r1, 1.0 / 3, 1e-12);
}

TEST(Retrieval, ChanceAndEdges) {
  const std::vector<float> one = {1, 0};
  const RetrievalResult r = retrieval(1, 1, 2, one.data(), one.data(), {{0}});
  EXPECT_EQ(r.text_to_image.r1, 1);
  EXPECT_EQ(r.chance.r1, 1);
  EXPECT_EQ(retrieval(0, 0, 2, nullptr, nullptr, {}).text_to_image.r1, 0);
  std::vector<float> many(40, 1.0f);
  const RetrievalResult c = retrieval(20, 2, 2, many.data(), many.data(), {{3}, {4, 5}});
  EXPECT_NEAR(c.chance.r1, 0.5 * (1.0 / 20 + 2.0 / 20), 1e-12);
  // Images 3, 4 and 5 each have one right text of two.
  EXPECT_NEAR(c.chance_image_to_text.r1, 0.5, 1e-12);
  EXPECT_EQ(c.chance_image_to_text.r5, 1);
  // Both of two right ones missed in 5 draws of 20: C(18,5)/C(20,5).
  EXPECT_NEAR(c.chance.r5, 0.5 * (5.0 / 20 + 1 - (15.0 * 14) / (20.0 * 19)), 1e-12);
}

TEST(Fusion, BatchesEqualOneSequenceAtATime) {
  ModelConfig c;
  c.image_size = 16, c.patch = 8, c.width = 16, c.heads = 2, c.layers = 3, c.vl_from = 1,
  c.text_length = 8, c.vocabulary = 12;
  MomeModel model(c, ModelParts::stage_pairs());
  model.parameters().initialize(2);
  RandomStream random(4, 0, Purpose::kTest, 1);
  Batch images, texts;
  images.size = texts.size = 3;
  images.image_size = 16;
  images.images.resize(3 * 16 * 16 * 3);
  for (uint8_t& v : images.images) v = uint8_t(random.next());
  texts.text_begin = {0, 4, 7, 13};
  for (int i = 0; i < 13; ++i) texts.tokens.push_back(int32_t(random.below(12)));
  const std::vector<Pairing> pairs = {{0, 0}, {1, 0}, {2, 1}, {0, 2}, {0, 0}};
  Arena arena;
  const std::vector<float> all = matching_scores(model, images, texts, pairs, arena);
  ASSERT_EQ(all.size(), pairs.size());
  EXPECT_EQ(all[0], all[4]);
  for (size_t i = 0; i < pairs.size(); ++i)
    EXPECT_NEAR(matching_scores(model, images, texts, {pairs[i]}, arena)[0], all[i], 1e-5) << i;
  std::vector<MaskedText> masked(2);
  masked[0] = {{2, 4, 6, 3}, {1, 2}, {5, 6}};
  masked[1] = {{2, 4, 3}, {}, {}};  // nothing masked: not asked
  const MaskedWords both = masked_words(model, images, masked, {1, -1}, arena);
  EXPECT_EQ(both.count, 2);
  EXPECT_EQ(masked_words(model, images, masked, {-1, -1}, arena).count, 2);
  // Right answers add up over texts, whatever stands beside them.
  std::vector<MaskedText> many;
  std::vector<int32_t> picture;
  for (int i = 0; i < 24; ++i) {
    many.push_back({{2, int32_t(random.below(12)), int32_t(random.below(12)), 3},
                    {1, 2},
                    {int32_t(random.below(12)), int32_t(random.below(12))}});
    picture.push_back(i % 4 - 1);
  }
  int64_t correct = 0;
  for (int i = 0; i < 24; ++i)
    correct += masked_words(model, images, {many[size_t(i)]}, {picture[size_t(i)]}, arena).correct;
  const MaskedWords together = masked_words(model, images, many, picture, arena);
  EXPECT_EQ(together.correct, correct);
  EXPECT_EQ(together.count, 48);
  EXPECT_EQ(arena.in_use(), 0u);
}

}  // namespace
}  // namespace mome
