// Losses as the tape sees them: what they leave in the gradients of what lies before them.
#include <gtest/gtest.h>

#include "runtime/ops/ops.h"
#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::normal_vector;

constexpr int64_t kRows = 5, kWidth = 7, kClasses = 9;

SoftTargets answers() {
  return {{0, 2, 2, 5, 6, 8}, {3, 0, 8, 7, 1, 4, 2, 5}, {1, 0.3f, 0.6f, 0.9f, 1, 0.3f, 0.6f, 1}};
}

struct Result {
  double loss = 0, score = 0;
  std::vector<double> gradient;  // of weight * loss, by the input of a linear layer before the loss
};

/// x [kRows, kWidth] through a linear layer into the loss, on a device, in the dtype of R.
template <class R>
Result answer_loss(Device& device, const std::vector<double>& x, double weight, bool train,
                   double loss_scale) {
  const DType dtype = std::is_same_v<R, double> ? DType::kF64 : DType::kF32;
  Arena arena(device);
  const SoftTargets targets = answers();
  Result result;
  std::vector<Tensor> leaves;
  const auto on_device = [&](const std::vector<double>& values, int64_t rows) {
    const auto host = testing::cast<R>(values);
    Tensor t = arena.tensor(rows, int64_t(host.size()) / rows, dtype);
    device.upload(t.data, host.data(), t.bytes());
    leaves.push_back(t);
    return t;
  };
  const Tensor input = on_device(x, kRows),
               gradient = on_device(std::vector<double>(x.size(), 0), kRows);
  const Tensor weights = on_device(normal_vector<double>(kClasses * kWidth, 4), kClasses),
               scale = on_device({loss_scale}, 1);
  {
    Readout readout(arena);
    Tape tape(arena, train);
    Var* logits = linear(tape, tape.leaf(input, gradient), tape.leaf(weights), nullptr);
    const BinaryLossOut out =
        binary_cross_entropy_loss(tape, logits, targets, weight, scale.data, readout);
    if (train) tape.backward();
    readout.read();
    result.loss = out.loss(), result.score = out.score();
    std::vector<R> host(x.size());
    device.download(host.data(), gradient.data, gradient.bytes());
    result.gradient = testing::cast<double>(host);
  }
  for (Tensor& t : leaves) arena.release(t.data);
  return result;
}

TEST(BinaryCrossEntropyLoss, IsASumOverClassesAndAMeanOverRows) {
  const auto x = normal_vector<double>(kRows * kWidth, 1),
             w = normal_vector<double>(kClasses * kWidth, 4);
  const SoftTargets t = answers();
  double loss = 0, score = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<double> logit(kClasses, 0), target(kClasses, 0);
    for (int32_t k = t.begin[r]; k < t.begin[r + 1]; ++k)
      target[t.target_class[k]] = double(t.score[k]);
    for (int64_t j = 0; j < kClasses; ++j) {
      for (int64_t i = 0; i < kWidth; ++i) logit[j] += x[r * kWidth + i] * w[j * kWidth + i];
      const double p = 1 / (1 + std::exp(-logit[j]));
      loss -= (target[j] * std::log(p) + (1 - target[j]) * std::log(1 - p)) / kRows;
    }
    score += target[std::max_element(logit.begin(), logit.end()) - logit.begin()] / kRows;
  }
  const Result r = answer_loss<double>(Device::host(), x, 0.3, false, 1);
  EXPECT_NEAR(r.loss, loss, 1e-12);
  EXPECT_NEAR(r.score, score, 1e-12);
  EXPECT_GT(score, 0);  // some row answers right
}

TEST(BinaryCrossEntropyLoss, GradientMatchesFiniteDifferences) {
  const auto x = normal_vector<double>(kRows * kWidth, 1);
  const Result r = answer_loss<double>(Device::host(), x, 0.3, true, 8);
  EXPECT_TRUE(testing::gradient_matches(
      [](const std::vector<double>& at) {
        return 8 * 0.3 * answer_loss<double>(Device::host(), at, 0.3, false, 1).loss;
      },
      x, r.gradient, 1e-9));
}

TEST(BinaryCrossEntropyLoss, SimtAgreesWithTheCpu) {
  const auto x = normal_vector<double>(kRows * kWidth, 1);
  const Result want = answer_loss<double>(Device::host(), x, 0.3, true, 8),
               got = answer_loss<float>(*Device::simt({}), x, 0.3, true, 8);
  EXPECT_NEAR(got.loss, want.loss, 1e-6 * want.loss);
  EXPECT_EQ(got.score, want.score);
  EXPECT_TRUE(testing::close_to(got.gradient, want.gradient, 2e-6));
}

// The gradient of x before two layers that read h = W x: one through scale_gradient, the other too
// unless `other_reader`.
std::vector<double> scaled(Device& device, double factor, bool other_reader, bool backward) {
  Arena arena(device);
  std::vector<Tensor> leaves;
  const auto on_device = [&](std::vector<float> host, int64_t rows) {
    Tensor t = arena.tensor(rows, int64_t(host.size()) / rows, DType::kF32);
    device.upload(t.data, host.data(), t.bytes());
    leaves.push_back(t);
    return t;
  };
  const auto random = [&](int64_t rows, int64_t cols, uint64_t stream) {
    return on_device(normal_vector<float>(rows * cols, stream), rows);
  };
  const Tensor x = random(kRows, kWidth, 1),
               dx = on_device(std::vector<float>(kRows * kWidth, 0), kRows),
               target = random(2 * kRows, kClasses, 4);
  std::vector<float> out(kRows * kWidth);
  {
    Readout readout(arena);
    Tape tape(arena);
    Var* hidden = linear(tape, tape.leaf(x, dx), tape.leaf(random(kWidth, kWidth, 2)), nullptr);
    Var* through = scale_gradient(tape, hidden, factor);
    EXPECT_EQ(through->value.data, hidden->value.data);
    Var* weight = tape.leaf(random(kClasses, kWidth, 3));
    Var* first = linear(tape, through, weight, nullptr);
    Var* second = linear(tape, other_reader ? hidden : through, weight, nullptr);
    squared_error_loss(tape, concat_rows(tape, first, second), target, 1, nullptr, readout);
    if (backward) tape.backward();
    device.download(out.data(), dx.data, dx.bytes());
  }
  for (Tensor& t : leaves) arena.release(t.data);
  EXPECT_EQ(arena.in_use(), 0u);  // the value is freed once, whether backward ran or not
  return testing::cast<double>(out);
}

TEST(ScaleGradient, MultipliesWhatGoesThroughItAlone) {
  const auto device = Device::simt({});
  for (Device* d : {&Device::host(), device.get()}) {
    const auto plain = scaled(*d, 1, false, true), quarter = scaled(*d, 0.25, false, true);
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(quarter[i], 0.25 * plain[i]);
    // What another reader sends stays whole: with factor 0 it is all that is left.
    const auto both = scaled(*d, 1, true, true), other = scaled(*d, 0, true, true),
               some = scaled(*d, 0.25, true, true);
    std::vector<double> want(both.size());
    for (size_t i = 0; i < want.size(); ++i) want[i] = other[i] + 0.25 * (both[i] - other[i]);
    EXPECT_TRUE(testing::close_to(some, want, 1e-6));
    EXPECT_FALSE(testing::close_to(other, both, 1e-2));
    for (double v : scaled(*d, 0.25, false, false)) EXPECT_EQ(v, 0);
  }
}

}  // namespace
}  // namespace mome
