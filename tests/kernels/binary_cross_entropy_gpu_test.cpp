#include "kernels/binary_cross_entropy/binary_cross_entropy.h"
#include "tests/kernels/same_bits.h"
#include "tests/kernels/soft_targets.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::SoftTargets;

struct Case {
  int64_t rows, classes, ld;
  double spread;  // of the logits
};

template <class T, class Queue>
struct OnDevice {
  OnDevice(Queue& q, const std::vector<T>& x, const SoftTargets& t)
      : queue(q),
        rows(int64_t(t.begin.size()) - 1),
        logits(q, x),
        begin(q, t.begin),
        target_class(q, t.target_class),
        score(q, t.score),
        result(q, 1) {}
  BinaryCrossEntropyResult run(int64_t classes, int64_t ld, float grad_scale,
                               const float* loss_scale, bool keep) {
    binary_cross_entropy<T>(queue, rows, classes, logits.data(), ld, begin.data(),
                            target_class.data(), score.data(), grad_scale, loss_scale, keep,
                            result.data());
    return result.read()[0];
  }
  Queue& queue;
  int64_t rows;
  DeviceArray<T, Queue> logits;
  DeviceArray<int32_t, Queue> begin, target_class;
  DeviceArray<float, Queue> score;
  DeviceArray<BinaryCrossEntropyResult, Queue> result;
};

/// The CPU's form, which binary_cross_entropy_test holds to the definition.
template <class R>
BinaryCrossEntropyResult on_cpu(const Case& c, std::vector<R>& logits, const SoftTargets& t,
                                R loss_scale) {
  BinaryCrossEntropyResult r;
  binary_cross_entropy<R>(cpu, c.rows, c.classes, logits.data(), c.ld, t.begin.data(),
                          t.target_class.data(), t.score.data(), 0.37f, &loss_scale, false, &r);
  return r;
}

template <class T>
void case_of(const Case& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.classes << " of " << c.ld);
  const float loss_scale = 64;
  auto values = testing::normal_vector<float>(c.rows * c.ld, 1, c.spread);
  for (int64_t i = 0; i < c.rows * c.ld; ++i)
    if (i % c.ld >= c.classes) values[i] = 0;  // padding
  const auto x = testing::rounded<T>(values);
  const SoftTargets targets = testing::soft_targets(c.rows, c.classes, 2);
  auto oracle = testing::doubles(x);
  auto plain = testing::widened(x);
  const auto want = on_cpu<double>(c, oracle, targets, loss_scale),
             rough = on_cpu<float>(c, plain, targets, loss_scale);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    OnDevice<T, Queue> used(queue, x, targets), kept(queue, x, targets);
    DeviceArray<float, Queue> scale(queue, std::vector<float>{loss_scale});
    const auto r = used.run(c.classes, c.ld, 0.37f, scale.data(), false),
               k = kept.run(c.classes, c.ld, 0.37f, scale.data(), true);
    const auto gradient = used.logits.read();
    EXPECT_TRUE(testing::as_exact_as(gradient, testing::rounded<T>(plain), oracle));
    EXPECT_LE(std::fabs(r.loss - want.loss),
              2 * std::fabs(rough.loss - want.loss) + 1.2e-7 * want.loss);
    EXPECT_NEAR(r.score, want.score, 1e-12);
    EXPECT_EQ(r.rows, c.rows);
    EXPECT_EQ(k.loss, r.loss);
    EXPECT_EQ(k.score, r.score);
    EXPECT_EQ(testing::widened(kept.logits.read()), testing::widened(x));
    auto out = testing::doubles(gradient);
    for (int64_t i = 0; i < c.rows * c.ld; ++i) {
      if (i % c.ld >= c.classes) {
        EXPECT_EQ(out[i], 0) << "padding";
      }
    }
    out.push_back(r.loss);
    out.push_back(r.score);
    return out;
  });
}

TEST(BinaryCrossEntropyGpu, IsAsExactAsAPlainLoop) {
  // Around a pack, a warp, a block and a tile of targets; rows that start at every place of a pack.
  for (const Case& c : {Case{0, 7, 7, 1},
                        {3, 1, 3, 1},
                        {13, 2, 2, 1},
                        {13, 31, 33, 3},
                        {13, 255, 257, 30},
                        {3, 3129, 3129, 8},
                        {4, 4095, 4095, 2},
                        {4, 4096, 4096, 2},
                        {4, 4097, 4099, 2},
                        {12, 8219, 8219, 1}}) {
    case_of<float>(c);
    case_of<half>(c);
    case_of<bf16>(c);
  }
}

template <class T>
std::pair<BinaryCrossEntropyResult, std::vector<float>> one_row(const std::vector<float>& values,
                                                                const SoftTargets& targets) {
  std::pair<BinaryCrossEntropyResult, std::vector<float>> out;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    OnDevice<T, Queue> d(queue, testing::rounded<T>(values), targets);
    out.first = d.run(int64_t(values.size()), int64_t(values.size()), 1, nullptr, false);
    out.second = testing::widened(d.logits.read());
  });
  return out;
}

TEST(BinaryCrossEntropyGpu, ExtremeLogitsStayFinite) {
  const SoftTargets targets{{0, 4}, {0, 1, 2, 3}, {1, 1, 0.5f, 0.5f}};
  const auto check = [](const auto& row) {
    EXPECT_EQ(row.first.loss, 1e4 + 5e3 + 5e3 + 1e4);
    EXPECT_EQ(row.first.score, 1);
    EXPECT_EQ(row.second, (std::vector<float>{0, -1, 0.5f, -0.5f, 1, 0}));
  };
  const std::vector<float> x = {1e4f, -1e4f, 1e4f, -1e4f, 1e4f, -1e4f};
  check(one_row<float>(x, targets));
  check(one_row<half>(x, targets));  // 1e4 is a half
  EXPECT_EQ((one_row<float>({3e38f, -3e38f}, {{0, 1}, {1}, {1}}).first.loss), 2 * double(3e38f));
}

TEST(BinaryCrossEntropyGpu, OfEqualLogitsTheFirstCountsAndNanNever) {
  std::vector<float> x(5000, 0);
  x[3] = x[4999] = 2;
  EXPECT_EQ((one_row<float>(x, {{0, 1}, {3}, {1}}).first.score), 1);
  EXPECT_EQ((one_row<float>(x, {{0, 1}, {4999}, {1}}).first.score), 0);
  x[1] = NAN;
  const auto broken = one_row<half>(x, {{0, 2}, {1, 3}, {1, 0.5f}});
  EXPECT_TRUE(std::isnan(broken.first.loss));
  EXPECT_EQ(broken.first.score, 0.5);
  EXPECT_TRUE(std::isnan(broken.second[1]) && std::isfinite(broken.second[2]));
  EXPECT_EQ((one_row<float>({NAN}, {{0, 1}, {0}, {1}}).first.score), 0);
}

}  // namespace
}  // namespace mome
