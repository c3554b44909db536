#include "kernels/multinomial/multinomial.h"

#include <numeric>

#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

struct DrawCase {
  int64_t n;
  bool columns;       // rows are columns of the matrix
  const float* log_scale;
  bool image_ids, caption_ids;
};

/// The CPU's draws and the device's, for some steps.
void expect_same_draws(const DrawCase& c, const std::vector<float>& s, const std::vector<int64_t>& image, const std::vector<int64_t>& caption) {
  SCOPED_TRACE(::testing::Message() << c.n << " pairs" << (c.columns ? ", columns" : ""));
  const int64_t rs = c.columns ? 1 : c.n, cs = c.columns ? c.n : 1;
  for (uint64_t step : {uint64_t{3}, uint64_t{1} << 40}) {
    std::vector<int32_t> want(c.n);
    draw_negatives<float>(cpu, c.n, s.data(), rs, cs, c.log_scale, c.image_ids ? image.data() : nullptr,
                          c.caption_ids ? caption.data() : nullptr, 17, step, 1, want.data());
    testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
      DeviceArray<float, Queue> similarity(queue, s), log_scale(queue, std::vector<float>{c.log_scale ? *c.log_scale : 0});
      DeviceArray<int64_t, Queue> images(queue, image), captions(queue, caption);
      DeviceArray<int32_t, Queue> negative(queue, c.n);
      draw_negatives<float>(queue, c.n, similarity.data(), rs, cs, c.log_scale ? log_scale.data() : nullptr,
                            c.image_ids ? images.data() : nullptr, c.caption_ids ? captions.data() : nullptr, 17, step, 1, negative.data());
      EXPECT_EQ(negative.read(), want);
      return testing::cast<double>(negative.read());
    });
  }
}

TEST(DrawNegativesGpu, EqualTheCpus) {
  const float warm = 0.3f, sharp = 2.66f;
  for (const DrawCase& c : {DrawCase{0, false, &warm, false, false}, {1, false, &warm, false, false}, {2, true, &warm, false, false},
                            {7, false, nullptr, true, false}, {31, true, &sharp, true, true}, {32, false, &warm, false, false},
                            {33, true, nullptr, false, true}, {211, false, &sharp, true, true}, {211, true, &warm, true, true}}) {
    std::vector<int64_t> image, caption;
    for (int64_t i = 0; i < c.n; ++i) image.push_back(1000 + i * 2 / 3), caption.push_back(i * i % 23 - 5);
    expect_same_draws(c, testing::normal_vector<float>(c.n * c.n, 3), image, caption);
  }
}

TEST(DrawNegativesGpu, NoCandidateHugeAndBrokenScores) {
  const float large = 4.6f;
  const int64_t n = 37;
  const std::vector<int64_t> alike(n, 3);
  std::vector<int64_t> apart(n);
  std::iota(apart.begin(), apart.end(), 0);
  const auto s = testing::normal_vector<float>(n * n, 4);
  expect_same_draws({n, false, &large, true, false}, s, alike, apart);  // -1: nothing is left
  std::vector<float> positive = s, huge = s;
  for (int64_t i = 0; i < n; ++i) positive[i * n + i] = 1e4f;  // all the mass, were it a candidate
  for (float& v : huge) v *= 1e4f;
  expect_same_draws({n, false, &large, false, false}, positive, apart, apart);
  expect_same_draws({n, true, &large, false, false}, huge, apart, apart);
  for (float broken : {NAN, -INFINITY, INFINITY})
    expect_same_draws({n, false, &large, false, false}, std::vector<float>(n * n, broken), apart, apart);
}

}  // namespace
}  // namespace mome
