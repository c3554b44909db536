#include "kernels/residual_norm/residual_norm.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::cast;
using testing::normal_vector;

template <class T>
struct Outputs {
  std::vector<T> y, n, mean, rstd, dx, dh, dgamma, dw, db;
};

/// What the tests switch on and off.
struct Form {
  bool gamma = true, row_scale = true, norm = true, dy = true;
};

template <class T>
struct Case {
  int64_t rows, width;
  Form form;
  std::vector<T> x, h, gamma, scale, w, b, dy, dn;
  Case(int64_t r, int64_t c, Form f)
      : rows(r),
        width(c),
        form(f),
        x(normal_vector<T>(r * c, 1)),
        h(normal_vector<T>(r * c, 2)),
        gamma(normal_vector<T>(c, 3)),
        scale(r),
        w(normal_vector<T>(c, 4)),
        b(normal_vector<T>(c, 5)),
        dy(normal_vector<T>(r * c, 6)),
        dn(normal_vector<T>(r * c, 7)) {
    for (int64_t i = 0; i < r; ++i) scale[i] = i % 3 == 1 ? T(0) : T(1.25);
  }
  ResidualNorm<T> arguments() const {
    ResidualNorm<T> a;
    a.rows = rows, a.width = width, a.eps = T(1e-5f);
    if (form.gamma) a.gamma = gamma.data();
    if (form.row_scale) a.row_scale = scale.data();
    if (form.norm) a.weight = w.data(), a.bias = b.data();
    return a;
  }
  Outputs<T> run() const {
    Outputs<T> o;
    o.y.resize(x.size()), o.n.resize(x.size()), o.mean.resize(rows), o.rstd.resize(rows);
    o.dx.assign(x.size(), NAN), o.dh.assign(x.size(), NAN);
    o.dgamma.assign(width, 0), o.dw.assign(width, 0), o.db.assign(width, 0);
    residual_norm_forward(cpu, arguments(), x.data(), h.data(), o.y.data(), o.n.data(), o.mean.data(),
                          o.rstd.data());
    residual_norm_backward(cpu, arguments(), h.data(), o.y.data(), o.mean.data(), o.rstd.data(),
                           form.dy ? dy.data() : nullptr, form.norm ? dn.data() : nullptr,
                           o.dx.data(), o.dh.data(), o.dgamma.data(), o.dw.data(), o.db.data());
    return o;
  }
};

// The formulas, one after the other, in T.
template <class T>
Outputs<T> plain(const Case<T>& c) {
  const int64_t R = c.rows, D = c.width;
  Outputs<T> o;
  o.y.resize(R * D), o.n.resize(R * D), o.mean.resize(R), o.rstd.resize(R), o.dx.resize(R * D);
  o.dh.resize(R * D), o.dgamma.assign(D, 0), o.dw.assign(D, 0), o.db.assign(D, 0);
  for (int64_t r = 0; r < R; ++r) {
    const T scale = c.form.row_scale ? c.scale[r] : T(1);
    T mean = 0, var = 0, m1 = 0, m2 = 0;
    for (int64_t i = r * D; i < (r + 1) * D; ++i) {
      o.y[i] = c.x[i] + scale * (c.form.gamma ? c.gamma[i - r * D] : T(1)) * c.h[i];
      mean += o.y[i] / T(D);
    }
    for (int64_t i = r * D; i < (r + 1) * D; ++i) var += (o.y[i] - mean) * (o.y[i] - mean) / T(D);
    const T rstd = 1 / std::sqrt(var + T(1e-5f));
    if (c.form.norm) o.mean[r] = mean, o.rstd[r] = rstd;
    for (int64_t k = 0; k < D && c.form.norm; ++k) {
      const int64_t i = r * D + k;
      const T xhat = (o.y[i] - mean) * rstd;
      o.n[i] = xhat * c.w[k] + c.b[k];
      o.dw[k] += c.dn[i] * xhat, o.db[k] += c.dn[i];
      m1 += c.dn[i] * c.w[k] / T(D), m2 += c.dn[i] * c.w[k] * xhat / T(D);
    }
    for (int64_t k = 0; k < D; ++k) {
      const int64_t i = r * D + k;
      T g = c.form.dy ? c.dy[i] : T(0);
      if (c.form.norm) g += rstd * (c.dn[i] * c.w[k] - m1 - (o.y[i] - mean) * rstd * m2);
      o.dx[i] = g;
      o.dh[i] = g * scale * (c.form.gamma ? c.gamma[k] : T(1));
      o.dgamma[k] += g * scale * c.h[i];
    }
  }
  return o;
}

std::vector<Form> forms() {
  std::vector<Form> all;
  for (int bits = 0; bits < 16; ++bits)
    all.push_back({bool(bits & 1), bool(bits & 2), bool(bits & 4), bool(bits & 8)});
  return all;
}

const std::pair<int64_t, int64_t> kSizes[] = {{1, 5}, {7, 3}, {37, 64}, {131, 67}, {1031, 13}};

TEST(ResidualNorm, DoubleEqualsTheFormulaInEveryForm) {
  for (auto [rows, width] : kSizes)
    for (Form f : forms()) {
      SCOPED_TRACE(::testing::Message()
                   << rows << " x " << width << ", gamma " << f.gamma << ", scale " << f.row_scale
                   << ", norm " << f.norm << ", dy " << f.dy);
      const Case<double> c(rows, width, f);
      const Outputs<double> got = c.run(), want = plain(c);
      EXPECT_TRUE(testing::close_to(got.y, want.y, 1e-14));
      EXPECT_TRUE(testing::close_to(got.n, want.n, 1e-13));
      EXPECT_TRUE(testing::close_to(got.mean, want.mean, 1e-13));
      EXPECT_TRUE(testing::close_to(got.rstd, want.rstd, 1e-13));
      EXPECT_TRUE(testing::close_to(got.dx, want.dx, 1e-12));
      EXPECT_TRUE(testing::close_to(got.dh, want.dh, 1e-12));
      EXPECT_TRUE(testing::close_to(got.dgamma, want.dgamma, 1e-12));
      EXPECT_TRUE(testing::close_to(got.dw, want.dw, 1e-12));
      EXPECT_TRUE(testing::close_to(got.db, want.db, 1e-12));
    }
}

TEST(ResidualNorm, FloatIsAsExactAsAPlainLoop) {
  for (auto [rows, width] : kSizes) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << width);
    const Case<float> c(rows, width, {});
    const Case<double> d(rows, width, {});
    const Outputs<float> got = c.run(), naive = plain(c);
    const Outputs<double> oracle = plain(d);
    EXPECT_TRUE(testing::within_twice(got.y, naive.y, oracle.y));
    EXPECT_TRUE(testing::within_twice(got.n, naive.n, oracle.n));
    EXPECT_TRUE(testing::within_twice(got.dx, naive.dx, oracle.dx));
    EXPECT_TRUE(testing::within_twice(got.dh, naive.dh, oracle.dh));
    EXPECT_TRUE(testing::within_twice(got.dgamma, naive.dgamma, oracle.dgamma));
    EXPECT_TRUE(testing::within_twice(got.dw, naive.dw, oracle.dw));
    EXPECT_TRUE(testing::within_twice(got.db, naive.db, oracle.db));
  }
}

TEST(ResidualNorm, GradientsMatchFiniteDifferences) {
  const Case<double> c(5, 7, {});
  const Outputs<double> got = c.run();
  const auto loss = [&](const Case<double>& at) {
    const Outputs<double> o = at.run();
    return testing::weighted_sum(o.y, c.dy) + testing::weighted_sum(o.n, c.dn);
  };
  const auto check = [&](std::vector<double> Case<double>::*member,
                         const std::vector<double>& gradient) {
    Case<double> at = c;
    return testing::gradient_matches(
        [&](const std::vector<double>& value) {
          at.*member = value;
          return loss(at);
        },
        c.*member, gradient);
  };
  EXPECT_TRUE(check(&Case<double>::x, got.dx));
  EXPECT_TRUE(check(&Case<double>::h, got.dh));
  EXPECT_TRUE(check(&Case<double>::gamma, got.dgamma));
  EXPECT_TRUE(check(&Case<double>::w, got.dw));
  EXPECT_TRUE(check(&Case<double>::b, got.db));
}

TEST(ResidualNorm, WorksInPlaceAndWithoutWhatIsNotWanted) {
  const Case<float> c(131, 67, {});
  const Outputs<float> apart = c.run();
  std::vector<float> y = c.x, n(y.size()), mean(131), rstd(131);
  residual_norm_forward(cpu, c.arguments(), y.data(), c.h.data(), y.data(), n.data(), mean.data(),
                        rstd.data());
  EXPECT_EQ(y, apart.y);
  EXPECT_EQ(n, apart.n);
  std::vector<float> g = c.dy, nothing;
  residual_norm_backward<float>(cpu, c.arguments(), c.h.data(), y.data(), mean.data(), rstd.data(),
                                g.data(), c.dn.data(), g.data(), nullptr, nullptr, nullptr,
                                nullptr);
  EXPECT_EQ(g, apart.dx);
  // Gradients of parameters are added to what is there.
  std::vector<float> dgamma(67, 1), dx(c.x.size());
  residual_norm_backward<float>(cpu, c.arguments(), c.h.data(), y.data(), mean.data(), rstd.data(),
                                c.dy.data(), c.dn.data(), dx.data(), nullptr, dgamma.data(),
                                nullptr, nullptr);
  for (int i = 0; i < 67; ++i)
    EXPECT_NEAR(dgamma[i], apart.dgamma[i] + 1, 1e-5f * (1 + std::fabs(apart.dgamma[i])));
}

// A dropped row passes x through untouched and leaves its branch unread, whatever is in it.
TEST(ResidualNorm, DroppedRowsIgnoreTheBranch) {
  Case<float> c(4, 5, {true, true, false, true});
  std::fill(c.h.begin() + 5, c.h.begin() + 10, NAN);  // row 1 has scale 0
  const Outputs<float> o = c.run();
  for (int i = 5; i < 10; ++i) {
    EXPECT_EQ(o.y[i], c.x[i]);
    EXPECT_EQ(o.dh[i], 0);
  }
  for (float g : o.dgamma) EXPECT_TRUE(std::isfinite(g));
}

TEST(ResidualNorm, NoRowsTouchNothing) {
  Case<float> c(0, 5, {});
  const Outputs<float> o = c.run();
  EXPECT_EQ(o.dgamma, std::vector<float>(5, 0));
}

TEST(ResidualNorm, ThreadsDoNotChangeBits) {
  const Case<float> c(1031, 67, {});
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    const Outputs<float> o = c.run();
    return testing::joined(o.y, o.n, o.mean, o.rstd, o.dx, o.dh, o.dgamma, o.dw, o.db);
  }));
}

}  // namespace
}  // namespace mome
