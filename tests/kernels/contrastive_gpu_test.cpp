#include "kernels/contrastive/contrastive.h"

#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

template <class T>
void l2_normalize_case(int64_t rows, int64_t width) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width);
  const auto x = testing::rounded<T>(testing::normal_vector<float>(rows * width, 3, 2));
  const auto dy = testing::rounded<T>(testing::normal_vector<float>(rows * width, 4));
  std::vector<double> y(x.size()), norm(rows), dx(x.size());
  std::vector<float> py(x.size()), pnorm(rows), pdx(x.size());
  l2_normalize_forward<double>(cpu, rows, width, testing::doubles(x).data(), y.data(), norm.data());
  l2_normalize_forward<float>(cpu, rows, width, testing::widened(x).data(), py.data(), pnorm.data());
  const auto plain_y = testing::rounded<T>(py);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> from(queue, x), to(queue, x.size()), g(queue, dy), apart(queue, x.size());
    DeviceArray<float, Queue> inverse(queue, rows);
    l2_normalize_forward<T>(queue, rows, width, from.data(), to.data(), inverse.data());
    EXPECT_TRUE(testing::as_exact_as(to.read(), plain_y, y));
    EXPECT_TRUE(testing::as_exact_as(inverse.read(), pnorm, norm));
    // Backward of what was stored, so that its own error is seen alone.
    const auto stored = to.read();
    const auto stored_norm = inverse.read();
    l2_normalize_backward<double>(cpu, rows, width, testing::doubles(stored).data(), testing::doubles(stored_norm).data(), testing::doubles(dy).data(), dx.data());
    l2_normalize_backward<float>(cpu, rows, width, testing::widened(stored).data(), stored_norm.data(), testing::widened(dy).data(), pdx.data());
    l2_normalize_backward<T>(queue, rows, width, to.data(), inverse.data(), g.data(), apart.data());
    const auto gradient = apart.read();
    EXPECT_TRUE(testing::as_exact_as(gradient, testing::rounded<T>(pdx), dx));
    l2_normalize_backward<T>(queue, rows, width, to.data(), inverse.data(), g.data(), g.data());
    EXPECT_EQ(testing::widened(g.read()), testing::widened(gradient));
    return testing::joined(testing::doubles(stored), testing::doubles(stored_norm), testing::doubles(gradient));
  });
}

TEST(L2NormalizeGpu, IsAsExactAsAPlainLoop) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {5, 31}, {6, 64}, {9, 768}, {2, 1031}}) {
    l2_normalize_case<float>(rows, width);
    l2_normalize_case<half>(rows, width);
    l2_normalize_case<bf16>(rows, width);
  }
}

TEST(L2NormalizeGpu, ZeroAndTinyRows) {
  const std::vector<float> x = {0, 0, 3e-30f, 4e-30f, 3e-10f, 4e-10f, 3e30f, 4e30f}, dy = {1, 2, 1, 2, 1, 2, 1, 2};
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<float, Queue> from(queue, x), y(queue, 8), inverse(queue, 4), g(queue, dy);
    l2_normalize_forward<float>(queue, 4, 2, from.data(), y.data(), inverse.data());
    l2_normalize_backward<float>(queue, 4, 2, y.data(), inverse.data(), g.data(), g.data());
    EXPECT_EQ(y.read()[0], 0);
    EXPECT_FLOAT_EQ(y.read()[2], 3e-18f);  // below the floor: divided by 1e-12
    EXPECT_FLOAT_EQ(y.read()[4], 0.6f);    // above it, though its square is no normal float
    EXPECT_FLOAT_EQ(y.read()[7], 0.8f);    // though its square is no finite one
    EXPECT_FLOAT_EQ(g.read()[1], 2e12f);
    EXPECT_FLOAT_EQ(g.read()[2], 1e12f);
  });
}

struct ContrastiveCase {
  int64_t n;
  float log_scale;
  bool image_ids, caption_ids;
};

struct Gradients {
  std::vector<double> similarity;
  double log_scale;
  ContrastiveResult result;
};
/// The CPU's form, which contrastive_test holds to the definition.
template <class R>
Gradients on_cpu(const ContrastiveCase& c, const std::vector<float>& s, const std::vector<int64_t>& image, const std::vector<int64_t>& caption, float loss_scale) {
  auto d = testing::cast<R>(s);
  const R log_scale = c.log_scale, scale = loss_scale;
  R dlog_scale = 0.5;
  Gradients g;
  contrastive_loss<R>(cpu, c.n, d.data(), &log_scale, c.image_ids ? image.data() : nullptr, c.caption_ids ? caption.data() : nullptr, 0.75,
                      &scale, &dlog_scale, &g.result);
  g.similarity = testing::cast<double>(d);
  g.log_scale = double(dlog_scale);
  return g;
}

TEST(ContrastiveGpu, IsAsExactAsAPlainLoop) {
  for (const ContrastiveCase& c : {ContrastiveCase{0, 2, true, true}, {1, 2, true, true}, {2, 0, false, false}, {7, 2.66f, true, true},
                                   {31, 2.66f, false, false}, {32, 4.6f, true, false}, {33, 4.6f, false, true}, {127, 2.66f, true, true},
                                   {129, 4.6f, true, true}}) {
    SCOPED_TRACE(::testing::Message() << c.n << " pairs");
    const auto s = testing::normal_vector<float>(c.n * c.n, 1, 0.3);
    std::vector<int64_t> image, caption;  // some occur more than once
    for (int64_t i = 0; i < c.n; ++i) image.push_back(1000 + i * 2 / 3), caption.push_back(i * i % 11 - 5);
    const float loss_scale = 16;
    const Gradients want = on_cpu<double>(c, s, image, caption, loss_scale), rough = on_cpu<float>(c, s, image, caption, loss_scale);
    testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
      DeviceArray<float, Queue> d(queue, s), log_scale(queue, std::vector<float>{c.log_scale}), dlog_scale(queue, std::vector<float>{0.5f});
      DeviceArray<float, Queue> scale(queue, std::vector<float>{loss_scale}), frozen(queue, s);
      DeviceArray<int64_t, Queue> images(queue, image), captions(queue, caption);
      DeviceArray<ContrastiveResult, Queue> result(queue, 1);
      const int64_t *image_id = c.image_ids ? images.data() : nullptr, *caption_id = c.caption_ids ? captions.data() : nullptr;
      contrastive_loss<float>(queue, c.n, frozen.data(), log_scale.data(), image_id, caption_id, 0.75, scale.data(), nullptr, result.data());
      contrastive_loss<float>(queue, c.n, d.data(), log_scale.data(), image_id, caption_id, 0.75, scale.data(), dlog_scale.data(), result.data());
      const auto gradient = d.read();
      EXPECT_TRUE(testing::as_exact_as(gradient, testing::cast<float>(rough.similarity), want.similarity));
      EXPECT_EQ(frozen.read(), gradient);
      const float slope = dlog_scale.read()[0];
      EXPECT_LE(std::fabs(slope - want.log_scale), 2 * std::fabs(rough.log_scale - want.log_scale) + 1.2e-7 * std::fabs(want.log_scale) + 1e-9);
      const ContrastiveResult r = result.read()[0];
      EXPECT_LE(std::fabs(r.loss - want.result.loss), 2 * std::fabs(rough.result.loss - want.result.loss) + 1.2e-7 * want.result.loss);
      EXPECT_EQ(r.image_correct, want.result.image_correct);
      EXPECT_EQ(r.text_correct, want.result.text_correct);
      for (int64_t i = 0; i < c.n; ++i)
        for (int64_t j = 0; j < c.n; ++j) {
          const bool other = i != j && ((c.image_ids && image[i] == image[j]) || (c.caption_ids && caption[i] == caption[j]));
          if (other) {
            EXPECT_EQ(gradient[i * c.n + j], 0) << i << " " << j;
          }
        }
      return testing::joined(testing::doubles(gradient), std::vector<double>{slope, r.loss});
    });
  }
}

TEST(ContrastiveGpu, EqualSimilaritiesCountTheFirstAndNanNothing) {
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<float, Queue> s(queue, std::vector<float>(16, 0.5f)), log_scale(queue, std::vector<float>{2.3f});
    DeviceArray<float, Queue> broken(queue, std::vector<float>{NAN, 0, 0, 1});
    DeviceArray<ContrastiveResult, Queue> result(queue, 1);
    contrastive_loss<float>(queue, 4, s.data(), log_scale.data(), nullptr, nullptr, 1, nullptr, nullptr, result.data());
    EXPECT_NEAR(result.read()[0].loss, std::log(4.0), 1e-6);
    EXPECT_EQ(result.read()[0].image_correct, 1);
    EXPECT_EQ(result.read()[0].text_correct, 1);
    contrastive_loss<float>(queue, 2, broken.data(), log_scale.data(), nullptr, nullptr, 1, nullptr, nullptr, result.data());
    EXPECT_TRUE(std::isnan(result.read()[0].loss));
    EXPECT_EQ(result.read()[0].image_correct, 1);
    EXPECT_EQ(result.read()[0].text_correct, 1);
  });
}

}  // namespace
}  // namespace mome
