#include "kernels/bias_gelu/bias_gelu.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::cast;
using testing::normal_vector;

constexpr Gelu kKinds[] = {Gelu::kErf, Gelu::kTanh, Gelu::kQuick};

template <class T>
T plain_gelu(Gelu kind, T u) {
  switch (kind) {
    case Gelu::kErf:
      return u / 2 * (1 + std::erf(u / std::sqrt(T(2))));
    case Gelu::kTanh:
      return u / 2 * (1 + std::tanh(std::sqrt(T(2 / M_PI)) * (u + T(0.044715) * u * u * u)));
    case Gelu::kQuick:
      return u / (1 + std::exp(-T(1.702) * u));
  }
  return 0;
}

template <class T>
T plain_derivative(Gelu kind, T u) {
  switch (kind) {
    case Gelu::kErf:
      return (1 + std::erf(u / std::sqrt(T(2)))) / 2 +
             u * std::exp(-u * u / 2) / std::sqrt(T(2 * M_PI));
    case Gelu::kTanh: {
      const T t = std::tanh(std::sqrt(T(2 / M_PI)) * (u + T(0.044715) * u * u * u));
      return (1 + t) / 2 +
             u / 2 * (1 - t * t) * std::sqrt(T(2 / M_PI)) * (1 + 3 * T(0.044715) * u * u);
    }
    case Gelu::kQuick: {
      const T s = 1 / (1 + std::exp(-T(1.702) * u));
      return s + T(1.702) * u * s * (1 - s);
    }
  }
  return 0;
}

template <class T>
struct Outputs {
  std::vector<T> out, da, db;
};

template <class T>
struct Case {
  int64_t rows, width;
  bool with_bias;
  std::vector<T> a, bias, dout;
  Case(int64_t r, int64_t c, bool with)
      : rows(r),
        width(c),
        with_bias(with),
        a(normal_vector<T>(r * c, 1, 2)),
        bias(normal_vector<T>(c, 2)),
        dout(normal_vector<T>(r * c, 3)) {}
  Outputs<T> run(Gelu kind) const {
    const T* b = with_bias ? bias.data() : nullptr;
    Outputs<T> o{std::vector<T>(a.size()), std::vector<T>(a.size()), std::vector<T>(width, 0)};
    bias_gelu_forward(cpu, kind, rows, width, a.data(), b, o.out.data());
    bias_gelu_backward(cpu, kind, rows, width, a.data(), b, dout.data(), o.da.data(), o.db.data());
    return o;
  }
  Outputs<T> plain(Gelu kind) const {
    Outputs<T> o{std::vector<T>(a.size()), std::vector<T>(a.size()), std::vector<T>(width, 0)};
    for (int64_t i = 0; i < rows * width; ++i) {
      const T u = a[i] + (with_bias ? bias[i % width] : T(0));
      o.out[i] = plain_gelu(kind, u);
      o.da[i] = dout[i] * plain_derivative(kind, u);
      o.db[i % width] += o.da[i];
    }
    return o;
  }
};

const std::pair<int64_t, int64_t> kSizes[] = {{1, 1}, {3, 7}, {37, 67}, {131, 256}, {1031, 13}};

TEST(BiasGelu, DoubleEqualsTheFormula) {
  for (Gelu kind : kKinds)
    for (auto [rows, width] : kSizes)
      for (bool with : {false, true}) {
        SCOPED_TRACE(::testing::Message() << int(kind) << ": " << rows << " x " << width);
        const Case<double> c(rows, width, with);
        const Outputs<double> got = c.run(kind), want = c.plain(kind);
        EXPECT_TRUE(testing::close_to(got.out, want.out, 1e-14));
        EXPECT_TRUE(testing::close_to(got.da, want.da, 1e-14));
        EXPECT_TRUE(testing::close_to(got.db, want.db, 1e-13));
      }
}

TEST(BiasGelu, FloatIsAsExactAsAPlainLoop) {
  for (Gelu kind : kKinds)
    for (auto [rows, width] : kSizes) {
      if (rows == 1) continue;  // a single value, by chance near a zero of gelu', has no scale
      SCOPED_TRACE(::testing::Message() << int(kind) << ": " << rows << " x " << width);
      const Case<float> c(rows, width, true);
      const Case<double> d(rows, width, true);
      const Outputs<float> got = c.run(kind), naive = c.plain(kind);
      const Outputs<double> oracle = d.plain(kind);
      EXPECT_TRUE(testing::within_twice(got.out, naive.out, oracle.out));
      EXPECT_TRUE(testing::within_twice(got.da, naive.da, oracle.da));
      EXPECT_TRUE(testing::within_twice(got.db, naive.db, oracle.db));
    }
}

TEST(BiasGelu, GradientsMatchFiniteDifferences) {
  for (Gelu kind : kKinds) {
    const Case<double> c(5, 11, true);
    const Outputs<double> got = c.run(kind);
    const auto loss = [&](const std::vector<double>& a, const std::vector<double>& bias) {
      std::vector<double> out(a.size());
      bias_gelu_forward(cpu, kind, 5, 11, a.data(), bias.data(), out.data());
      return testing::weighted_sum(out, c.dout);
    };
    EXPECT_TRUE(testing::gradient_matches([&](auto& a) { return loss(a, c.bias); }, c.a, got.da));
    EXPECT_TRUE(testing::gradient_matches([&](auto& b) { return loss(c.a, b); }, c.bias, got.db));
  }
}

// The tails: gelu(u) -> u and gelu(-u) -> 0, with no NaN on the way, for any finite activation.
TEST(BiasGelu, LargeActivations) {
  for (Gelu kind : kKinds) {
    const std::vector<float> u = {-1e12f, -1e4f, -60, -30, 0, 30, 60, 1e4f, 1e12f};
    std::vector<float> out(u.size()), d(u.size()), ones(u.size(), 1);
    bias_gelu_forward<float>(cpu, kind, 1, int64_t(u.size()), u.data(), nullptr, out.data());
    bias_gelu_backward<float>(cpu, kind, 1, int64_t(u.size()), u.data(), nullptr, ones.data(), d.data(),
                              nullptr);
    for (size_t i = 0; i < u.size(); ++i) {
      EXPECT_NEAR(out[i], u[i] > 0 ? u[i] : 0, 1e-20) << u[i];
      EXPECT_NEAR(d[i], u[i] > 0 ? 1 : u[i] == 0 ? 0.5 : 0, 1e-20) << u[i];
    }
  }
}

TEST(BiasGelu, WorksInPlaceAndAddsToTheBiasGradient) {
  for (Gelu kind : kKinds) {
    const Case<double> c(131, 67, true);
    const Outputs<double> apart = c.run(kind);
    std::vector<double> a = c.a, d = c.dout, db(67, 2);
    bias_gelu_forward(cpu, kind, 131, 67, a.data(), c.bias.data(), a.data());
    EXPECT_EQ(a, apart.out);
    bias_gelu_backward(cpu, kind, 131, 67, c.a.data(), c.bias.data(), d.data(), d.data(), db.data());
    EXPECT_EQ(d, apart.da);
    for (int i = 0; i < 67; ++i) EXPECT_NEAR(db[i], apart.db[i] + 2, 1e-13);
    std::vector<double> frozen(c.a.size());
    bias_gelu_backward<double>(cpu, kind, 131, 67, c.a.data(), c.bias.data(), c.dout.data(),
                               frozen.data(), nullptr);
    EXPECT_EQ(frozen, apart.da);
  }
}

TEST(BiasGelu, NoRowsTouchNothing) {
  std::vector<float> db(3, 4);
  bias_gelu_forward<float>(cpu, Gelu::kErf, 0, 3, nullptr, nullptr, nullptr);
  bias_gelu_backward<float>(cpu, Gelu::kErf, 0, 3, nullptr, nullptr, nullptr, nullptr, db.data());
  EXPECT_EQ(db, std::vector<float>(3, 4));
}

TEST(BiasGelu, ThreadsDoNotChangeBits) {
  const Case<float> c(1031, 67, true);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const Outputs<float> o = c.run(Gelu::kErf);
    return testing::joined(o.out, o.da, o.db);
  }));
}

}  // namespace
}  // namespace mome
