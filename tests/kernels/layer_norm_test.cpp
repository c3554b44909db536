#include "kernels/layer_norm/layer_norm.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::cast;
using testing::normal_vector;

// Written straight from the formula, in the precision of T.
template <class T>
struct Plain {
  std::vector<T> y, mean, rstd, dx, dw, db;
};

template <class T>
Plain<T> plain(int64_t rows, int64_t width, const std::vector<T>& x, const std::vector<T>& w,
               const std::vector<T>& b, T eps, const std::vector<T>& dy) {
  Plain<T> p;
  p.y.resize(rows * width), p.dx.resize(rows * width);
  p.mean.resize(rows), p.rstd.resize(rows), p.dw.assign(width, 0), p.db.assign(width, 0);
  for (int64_t r = 0; r < rows; ++r) {
    T mean = 0, var = 0;
    for (int64_t c = 0; c < width; ++c) mean += x[r * width + c];
    mean /= T(width);
    for (int64_t c = 0; c < width; ++c)
      var += (x[r * width + c] - mean) * (x[r * width + c] - mean);
    const T rstd = 1 / std::sqrt(var / T(width) + eps);
    p.mean[r] = mean, p.rstd[r] = rstd;
    T m1 = 0, m2 = 0;
    for (int64_t c = 0; c < width; ++c) {
      const T xhat = (x[r * width + c] - mean) * rstd, g = dy[r * width + c];
      p.y[r * width + c] = xhat * w[c] + b[c];
      p.dw[c] += g * xhat, p.db[c] += g;
      m1 += g * w[c] / T(width), m2 += g * w[c] * xhat / T(width);
    }
    for (int64_t c = 0; c < width; ++c) {
      const T xhat = (x[r * width + c] - mean) * rstd;
      p.dx[r * width + c] = rstd * (dy[r * width + c] * w[c] - m1 - xhat * m2);
    }
  }
  return p;
}

struct Size {
  int64_t rows, width;
};
const Size kSizes[] = {{1, 1},   {1, 7},     {17, 1},    {5, 64},
                       {67, 13}, {131, 192}, {1031, 37}, {3, 769}};
constexpr double kEps = 1e-5;

template <class T>
struct Case {
  Size size;
  std::vector<T> x, w, b, dy;
  explicit Case(Size s)
      : size(s),
        x(normal_vector<T>(s.rows * s.width, 1, 2)),
        w(normal_vector<T>(s.width, 2)),
        b(normal_vector<T>(s.width, 3)),
        dy(normal_vector<T>(s.rows * s.width, 4)) {
    for (T& v : x) v += T(0.5);
  }
  Plain<T> run(bool accumulate = false) const {
    Plain<T> o;
    o.y.resize(x.size()), o.mean.resize(size.rows), o.rstd.resize(size.rows);
    o.dx.assign(x.size(), accumulate ? T(1) : T(NAN));
    o.dw.assign(size.width, 0), o.db.assign(size.width, 0);
    layer_norm_forward(cpu, size.rows, size.width, x.data(), w.data(), b.data(), T(kEps), o.y.data(),
                       o.mean.data(), o.rstd.data());
    layer_norm_backward(cpu, size.rows, size.width, x.data(), w.data(), o.mean.data(), o.rstd.data(),
                        dy.data(), o.dx.data(), accumulate, o.dw.data(), o.db.data());
    return o;
  }
};

TEST(LayerNorm, DoubleEqualsTheFormula) {
  for (Size s : kSizes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.width);
    const Case<double> c(s);
    const Plain<double> got = c.run(), want = plain(s.rows, s.width, c.x, c.w, c.b, kEps, c.dy);
    EXPECT_TRUE(testing::close_to(got.y, want.y, 1e-13));
    EXPECT_TRUE(testing::close_to(got.mean, want.mean, 1e-13));
    EXPECT_TRUE(testing::close_to(got.rstd, want.rstd, 1e-13));
    EXPECT_TRUE(testing::close_to(got.dw, want.dw, 1e-13));
    EXPECT_TRUE(testing::close_to(got.db, want.db, 1e-13));
    // A row of one element has no variance: its gradient is a difference of equal numbers.
    if (s.width > 1) {
      EXPECT_TRUE(testing::close_to(got.dx, want.dx, 1e-12));
    }
  }
}

TEST(LayerNorm, FloatIsAsExactAsAPlainLoop) {
  for (Size s : kSizes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " x " << s.width);
    const Case<float> c(s);
    const Plain<float> got = c.run();
    const Plain<float> naive = plain(s.rows, s.width, c.x, c.w, c.b, float(kEps), c.dy);
    const Plain<double> oracle = plain(s.rows, s.width, cast<double>(c.x), cast<double>(c.w),
                                       cast<double>(c.b), double(float(kEps)), cast<double>(c.dy));
    EXPECT_TRUE(testing::within_twice(got.y, naive.y, oracle.y));
    EXPECT_TRUE(testing::within_twice(got.mean, naive.mean, oracle.mean));
    EXPECT_TRUE(testing::within_twice(got.rstd, naive.rstd, oracle.rstd));
    EXPECT_TRUE(testing::within_twice(got.dx, naive.dx, oracle.dx));
    EXPECT_TRUE(testing::within_twice(got.dw, naive.dw, oracle.dw));
    EXPECT_TRUE(testing::within_twice(got.db, naive.db, oracle.db));
  }
}

TEST(LayerNorm, GradientsMatchFiniteDifferences) {
  const Case<double> c({5, 7});
  const Plain<double> got = c.run();
  const auto loss = [&](const std::vector<double>& x, const std::vector<double>& w,
                        const std::vector<double>& b) {
    std::vector<double> y(x.size()), mean(5), rstd(5);
    layer_norm_forward<double>(cpu, 5, 7, x.data(), w.data(), b.data(), kEps, y.data(), mean.data(),
                               rstd.data());
    return testing::weighted_sum(y, c.dy);
  };
  EXPECT_TRUE(testing::gradient_matches([&](auto& x) { return loss(x, c.w, c.b); }, c.x, got.dx));
  EXPECT_TRUE(testing::gradient_matches([&](auto& w) { return loss(c.x, w, c.b); }, c.w, got.dw));
  EXPECT_TRUE(testing::gradient_matches([&](auto& b) { return loss(c.x, c.w, b); }, c.b, got.db));
}

TEST(LayerNorm, AccumulatesAliasesAndFreezes) {
  const Case<double> c({67, 13});
  const Plain<double> plainly = c.run(), added = c.run(true);
  for (size_t i = 0; i < plainly.dx.size(); ++i)
    EXPECT_NEAR(added.dx[i], plainly.dx[i] + 1, 1e-14 * (1 + std::fabs(plainly.dx[i])));

  std::vector<double> in_place = c.dy, dw(13, 2.0), db(13, 3.0);
  layer_norm_backward(cpu, 67, 13, c.x.data(), c.w.data(), plainly.mean.data(), plainly.rstd.data(),
                      in_place.data(), in_place.data(), false, dw.data(), db.data());
  EXPECT_EQ(in_place, plainly.dx);
  for (int i = 0; i < 13; ++i) {
    EXPECT_NEAR(dw[i], plainly.dw[i] + 2, 1e-13);
    EXPECT_NEAR(db[i], plainly.db[i] + 3, 1e-13);
  }
  std::vector<double> frozen(c.x.size());
  layer_norm_backward<double>(cpu, 67, 13, c.x.data(), c.w.data(), plainly.mean.data(),
                              plainly.rstd.data(), c.dy.data(), frozen.data(), false, nullptr,
                              nullptr);
  EXPECT_EQ(frozen, plainly.dx);
}

TEST(LayerNorm, NoRowsTouchNothing) {
  std::vector<float> w(4, 1), b(4, 0), dw(4, 5), db(4, 6);
  layer_norm_forward<float>(cpu, 0, 4, nullptr, w.data(), b.data(), 1e-5f, nullptr, nullptr, nullptr);
  layer_norm_backward<float>(cpu, 0, 4, nullptr, w.data(), nullptr, nullptr, nullptr, nullptr, false,
                             dw.data(), db.data());
  EXPECT_EQ(dw, std::vector<float>(4, 5));
  EXPECT_EQ(db, std::vector<float>(4, 6));
}

TEST(LayerNorm, ThreadsDoNotChangeBits) {
  const Case<float> c({1031, 37});
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const Plain<float> o = c.run();
    return testing::joined(o.y, o.mean, o.rstd, o.dx, o.dw, o.db);
  }));
}

// Statistics of a row far from zero: E[x^2] - E[x]^2 in float would have no digit left.
TEST(LayerNorm, LargeMeanKeepsItsVariance) {
  std::vector<float> x = {10000, 10001, 10002, 10003}, w(4, 1), b(4, 0), y(4);
  float mean, rstd;
  layer_norm_forward(cpu, 1, 4, x.data(), w.data(), b.data(), 0.0f, y.data(), &mean, &rstd);
  EXPECT_FLOAT_EQ(mean, 10001.5f);
  EXPECT_FLOAT_EQ(rstd, 1 / std::sqrt(1.25f));
}

}  // namespace
}  // namespace mome
