#include "kernels/cross_entropy/cross_entropy.h"

#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

struct CrossEntropyCase {
  int64_t rows, vocabulary, ld;
  double spread;  // of the logits
};

/// Gradients (double oracle, plain float) and losses of the CPU forms, which cross_entropy_test holds to the definition.
template <class R>
CrossEntropyResult on_cpu(const CrossEntropyCase& c, std::vector<R>& logits, const std::vector<int32_t>& label, R loss_scale, bool keep) {
  CrossEntropyResult r;
  cross_entropy<R>(cpu, c.rows, c.vocabulary, logits.data(), c.ld, label.data(), 0.37f, &loss_scale, keep, &r);
  return r;
}

template <class T>
void cross_entropy_case(const CrossEntropyCase& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.vocabulary << " of " << c.ld);
  const float loss_scale = 64;
  auto values = testing::normal_vector<float>(c.rows * c.ld, 1, c.spread);
  for (int64_t i = 0; i < c.rows * c.ld; ++i)
    if (i % c.ld >= c.vocabulary) values[i] = 0;  // padding
  const auto x = testing::rounded<T>(values);
  const auto label = testing::integer_vector(c.rows, uint32_t(c.vocabulary), 2);
  auto oracle = testing::doubles(x);
  auto plain = testing::widened(x);
  const CrossEntropyResult want = on_cpu<double>(c, oracle, label, loss_scale, false), rough = on_cpu<float>(c, plain, label, loss_scale, false);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> logits(queue, x), kept(queue, x);
    DeviceArray<int32_t, Queue> labels(queue, label);
    DeviceArray<float, Queue> scale(queue, std::vector<float>{loss_scale});
    DeviceArray<CrossEntropyResult, Queue> result(queue, 2);
    cross_entropy<T>(queue, c.rows, c.vocabulary, logits.data(), c.ld, labels.data(), 0.37f, scale.data(), false, result.data());
    cross_entropy<T>(queue, c.rows, c.vocabulary, kept.data(), c.ld, labels.data(), 0.37f, scale.data(), true, result.data() + 1);
    const auto gradient = logits.read();
    EXPECT_TRUE(testing::as_exact_as(gradient, testing::rounded<T>(plain), oracle));
    const auto r = result.read();
    EXPECT_LE(std::fabs(r[0].loss - want.loss), 2 * std::fabs(rough.loss - want.loss) + 1.2e-7 * want.loss);
    EXPECT_EQ(r[0].correct, want.correct);
    EXPECT_EQ(r[1].loss, r[0].loss);
    EXPECT_EQ(r[1].correct, r[0].correct);
    EXPECT_EQ(testing::widened(kept.read()), testing::widened(x));
    auto out = testing::doubles(gradient);
    for (int64_t i = 0; i < c.rows * c.ld; ++i) {
      if (i % c.ld >= c.vocabulary) {
        EXPECT_EQ(out[i], 0) << "padding";
      }
    }
    out.push_back(r[0].loss);
    return out;
  });
}

TEST(CrossEntropyGpu, IsAsExactAsAPlainLoop) {
  for (const CrossEntropyCase& c : {CrossEntropyCase{0, 7, 7, 1}, {1, 1, 3, 1}, {67, 2, 2, 1}, {5, 31, 33, 3}, {3, 1023, 1027, 2},
                                    {2, 1024, 1024, 1}, {3, 1025, 1025, 30}, {2, 16411, 16413, 2}}) {
    cross_entropy_case<float>(c);
    cross_entropy_case<half>(c);
    cross_entropy_case<bf16>(c);
  }
}

/// A row of equal logits but those named, alone on the device without a loss scale.
template <class T>
CrossEntropyResult one_row(int64_t width, const std::vector<std::pair<int64_t, float>>& set, int32_t label, std::vector<float>* gradient = nullptr) {
  std::vector<float> values(width, 0);
  for (auto [at, v] : set) values[at] = v;
  CrossEntropyResult out;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> x(queue, testing::rounded<T>(values));
    DeviceArray<int32_t, Queue> labels(queue, std::vector<int32_t>{label});
    DeviceArray<CrossEntropyResult, Queue> result(queue, 1);
    cross_entropy<T>(queue, 1, width, x.data(), width, labels.data(), 1, nullptr, false, result.data());
    out = result.read()[0];
    if (gradient) *gradient = testing::widened(x.read());
  });
  return out;
}

TEST(CrossEntropyGpu, ExtremeLogitsStayFinite) {
  for (int64_t width : {3, 2000}) {
    std::vector<float> gradient;
    const auto far = one_row<half>(width, {{0, 3e4f}, {1, -3e4f}}, 1, &gradient);
    EXPECT_EQ(far.loss, 2 * double(to_float(from_float<half>(3e4f))));
    EXPECT_EQ(far.correct, 0);
    EXPECT_EQ(gradient[0], 1);
    EXPECT_EQ(gradient[1], -1);
    EXPECT_EQ(gradient[2], 0);
    const auto near = one_row<half>(width, {{0, 3e4f}, {1, -3e4f}}, 0, &gradient);
    EXPECT_EQ(near.loss, 0);
    EXPECT_EQ(near.correct, 1);
    for (float g : gradient) EXPECT_EQ(g, 0);
    EXPECT_EQ(one_row<float>(width, {{0, 3e38f}, {1, -3e38f}}, 0).loss, 0);
  }
}

TEST(CrossEntropyGpu, OfEqualLogitsTheFirstCounts) {
  for (int64_t width : {50, 1500}) {
    const int32_t last = int32_t(width) - 1;
    EXPECT_EQ((one_row<float>(width, {{3, 2}, {last, 2}}, 3).correct), 1);
    EXPECT_EQ((one_row<float>(width, {{3, 2}, {last, 2}}, last).correct), 0);
    const auto broken = one_row<float>(width, {{3, NAN}}, 3);
    EXPECT_TRUE(std::isnan(broken.loss));
    EXPECT_EQ(broken.correct, 0);
    EXPECT_TRUE(std::isnan(one_row<float>(width, {{last, NAN}}, 3).loss));
  }
}

template <class T>
void squared_error_case(int64_t count, size_t offset) {  // offset: an address that is no multiple of 16 bytes
  SCOPED_TRACE(::testing::Message() << count << " from " << offset);
  const float loss_scale = 8;
  const auto x = testing::rounded<T>(testing::normal_vector<float>(count + offset, 6)), target = testing::rounded<T>(testing::normal_vector<float>(count, 7));
  auto oracle = testing::doubles(x);
  auto plain = testing::widened(x);
  double want = 0, rough = 0;
  const double wide_scale = loss_scale;
  squared_error<double>(cpu, count, oracle.data() + offset, testing::doubles(target).data(), 0.25, &wide_scale, false, &want);
  squared_error<float>(cpu, count, plain.data() + offset, testing::widened(target).data(), 0.25, &loss_scale, false, &rough);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> dx(queue, x), kept(queue, x), dt(queue, target);
    DeviceArray<float, Queue> scale(queue, std::vector<float>{loss_scale});
    DeviceArray<double, Queue> sum(queue, 2);
    squared_error<T>(queue, count, dx.data() + offset, dt.data(), 0.25, scale.data(), false, sum.data());
    squared_error<T>(queue, count, kept.data() + offset, dt.data(), 0.25, nullptr, true, sum.data() + 1);
    EXPECT_TRUE(testing::as_exact_as(dx.read(), testing::rounded<T>(plain), oracle));
    EXPECT_LE(std::fabs(sum.read()[0] - want), 2 * std::fabs(rough - want) + 1.2e-7 * want);
    EXPECT_EQ(sum.read()[1], sum.read()[0]);
    EXPECT_EQ(testing::widened(kept.read()), testing::widened(x));
    auto out = testing::doubles(dx.read());
    out.push_back(sum.read()[0]);
    return out;
  });
}

TEST(SquaredErrorGpu, IsAsExactAsAPlainLoop) {
  for (auto [count, offset] : {std::pair<int64_t, size_t>{0, 0}, {1, 0}, {1021, 0}, {8191, 0}, {8192, 1}, {8193, 0}, {20011, 0}}) {
    squared_error_case<float>(count, offset);
    squared_error_case<half>(count, offset);
    squared_error_case<bf16>(count, offset);
  }
}

template <class T>
void normalize_case(int64_t rows, int64_t width, float mean, float deviation) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width);
  auto values = testing::normal_vector<float>(rows * width, 8, deviation);
  for (float& v : values) v += mean;
  const auto x = testing::rounded<T>(values);
  std::vector<double> oracle(x.size());
  std::vector<float> plain(x.size());
  normalize_patches<double>(cpu, rows, width, testing::doubles(x).data(), oracle.data());
  normalize_patches<float>(cpu, rows, width, testing::widened(x).data(), plain.data());
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> from(queue, x), to(queue, x.size());
    normalize_patches<T>(queue, rows, width, from.data(), to.data());
    const auto apart = to.read();
    EXPECT_TRUE(testing::as_exact_as(apart, testing::rounded<T>(plain), oracle));
    normalize_patches<T>(queue, rows, width, from.data(), from.data());
    EXPECT_EQ(testing::widened(from.read()), testing::widened(apart));
    return testing::doubles(apart);
  });
}

TEST(NormalizePatchesGpu, IsAsExactAsAPlainLoop) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 2}, {5, 33}, {7, 192}, {6, 768}, {2, 1031}}) {
    normalize_case<float>(rows, width, 0, 0.3f);
    normalize_case<half>(rows, width, 0.1f, 0.3f);
    normalize_case<bf16>(rows, width, 0, 0.3f);
  }
  normalize_case<float>(3, 768, 0.9f, 0.004f);  // nearly one colour
}

}  // namespace
}  // namespace mome
