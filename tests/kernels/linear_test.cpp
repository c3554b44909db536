#include "kernels/linear/linear.h"

#include "kernels/common/gemm.h"
#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::normal_vector;

struct Size {
  int64_t rows, in, out, ldx, ldy;
};
const Size kSizes[] = {{1, 1, 1, 1, 1},
                       {5, 7, 3, 7, 3},
                       {37, 67, 13, 70, 20},
                       {131, 64, 97, 64, 97},
                       {1031, 13, 5, 40, 6}};

template <class T>
struct Outputs {
  std::vector<T> y, dx, dw, db;
};

template <class T>
struct Case {
  Size s;
  std::vector<T> x, w, b, dy;
  explicit Case(Size size)
      : s(size),
        x(normal_vector<T>(s.rows * s.ldx, 1)),
        w(normal_vector<T>(s.out * s.in, 2)),
        b(normal_vector<T>(s.out, 3)),
        dy(normal_vector<T>(s.rows * s.ldy, 4)) {}
  // 9 where nothing may be written: behind the columns of strided rows.
  Outputs<T> blank() const {
    return {std::vector<T>(s.rows * s.ldy, 9), std::vector<T>(s.rows * s.ldx, 9),
            std::vector<T>(s.out * s.in, 1), std::vector<T>(s.out, 2)};
  }
  Outputs<T> run(bool bias = true, bool accumulate = false) const {
    Outputs<T> o = blank();
    linear_forward(cpu, s.rows, s.in, s.out, x.data(), s.ldx, w.data(), bias ? b.data() : nullptr,
                   o.y.data(), s.ldy);
    linear_backward_input(cpu, s.rows, s.in, s.out, dy.data(), s.ldy, w.data(), o.dx.data(), s.ldx,
                          accumulate);
    linear_backward_weight(cpu, s.rows, s.in, s.out, x.data(), s.ldx, dy.data(), s.ldy, o.dw.data(),
                           o.db.data());
    return o;
  }
  Outputs<T> plain(bool bias = true, bool accumulate = false) const {
    Outputs<T> o = blank();
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t n = 0; n < s.out; ++n) {
        T sum = bias ? b[n] : T(0);
        for (int64_t k = 0; k < s.in; ++k) sum += x[r * s.ldx + k] * w[n * s.in + k];
        o.y[r * s.ldy + n] = sum;
        o.db[n] += dy[r * s.ldy + n];
      }
      for (int64_t k = 0; k < s.in; ++k) {
        T sum = accumulate ? T(9) : T(0);
        for (int64_t n = 0; n < s.out; ++n) sum += dy[r * s.ldy + n] * w[n * s.in + k];
        o.dx[r * s.ldx + k] = sum;
      }
    }
    for (int64_t n = 0; n < s.out; ++n)
      for (int64_t k = 0; k < s.in; ++k)
        for (int64_t r = 0; r < s.rows; ++r)
          o.dw[n * s.in + k] += dy[r * s.ldy + n] * x[r * s.ldx + k];
    return o;
  }
};

TEST(Linear, DoubleEqualsTheFormula) {
  for (Size s : kSizes)
    for (bool bias : {false, true})
      for (bool accumulate : {false, true}) {
        SCOPED_TRACE(::testing::Message() << s.rows << ", " << s.in << " -> " << s.out);
        const Case<double> c(s);
        const Outputs<double> got = c.run(bias, accumulate), want = c.plain(bias, accumulate);
        EXPECT_TRUE(testing::close_to(got.y, want.y, 1e-14));
        EXPECT_TRUE(testing::close_to(got.dx, want.dx, 1e-14));
        EXPECT_TRUE(testing::close_to(got.dw, want.dw, 1e-13));
        EXPECT_TRUE(testing::close_to(got.db, want.db, 1e-13));
      }
}

TEST(Linear, FloatIsAsExactAsAPlainLoop) {
  for (Size s : kSizes) {
    SCOPED_TRACE(::testing::Message() << s.rows << ", " << s.in << " -> " << s.out);
    const Case<float> c(s);
    const Outputs<float> got = c.run(), naive = c.plain();
    const Outputs<double> oracle = Case<double>(s).plain();
    EXPECT_TRUE(testing::within_twice(got.y, naive.y, oracle.y));
    EXPECT_TRUE(testing::within_twice(got.dx, naive.dx, oracle.dx));
    EXPECT_TRUE(testing::within_twice(got.dw, naive.dw, oracle.dw));
    EXPECT_TRUE(testing::within_twice(got.db, naive.db, oracle.db));
  }
}

TEST(Linear, GradientsMatchFiniteDifferences) {
  const Case<double> c({5, 7, 3, 7, 3});
  const Outputs<double> got = c.run(), zero = c.blank();
  const auto loss = [&](const std::vector<double>& x, const std::vector<double>& w,
                        const std::vector<double>& b) {
    std::vector<double> y(15);
    linear_forward<double>(cpu, 5, 7, 3, x.data(), 7, w.data(), b.data(), y.data(), 3);
    return testing::weighted_sum(y, c.dy);
  };
  std::vector<double> dw = got.dw, db = got.db;
  for (double& v : dw) v -= 1;  // what blank() put there
  for (double& v : db) v -= 2;
  EXPECT_TRUE(testing::gradient_matches([&](auto& x) { return loss(x, c.w, c.b); }, c.x, got.dx));
  EXPECT_TRUE(testing::gradient_matches([&](auto& w) { return loss(c.x, w, c.b); }, c.w, dw));
  EXPECT_TRUE(testing::gradient_matches([&](auto& b) { return loss(c.x, c.w, b); }, c.b, db));
}

TEST(Linear, EmptySizes) {
  std::vector<double> b = {1, 2, 3}, y(6, 9), dw(6, 4), db(3, 5), dy(6, 1), x(4, 1), dx(4, 9);
  // No inputs: y is the bias, or zero.
  linear_forward<double>(cpu, 2, 0, 3, nullptr, 0, nullptr, b.data(), y.data(), 3);
  EXPECT_EQ(y, (std::vector<double>{1, 2, 3, 1, 2, 3}));
  linear_forward<double>(cpu, 2, 0, 3, nullptr, 0, nullptr, nullptr, y.data(), 3);
  EXPECT_EQ(y, std::vector<double>(6, 0));
  // No rows: gradients of parameters stay.
  linear_forward<double>(cpu, 0, 2, 3, nullptr, 2, nullptr, b.data(), nullptr, 3);
  linear_backward_weight<double>(cpu, 0, 2, 3, nullptr, 2, nullptr, 3, dw.data(), db.data());
  EXPECT_EQ(dw, std::vector<double>(6, 4));
  EXPECT_EQ(db, std::vector<double>(3, 5));
  // No outputs: dx is zero.
  linear_backward_input<double>(cpu, 2, 2, 0, nullptr, 0, nullptr, dx.data(), 2, false);
  EXPECT_EQ(dx, std::vector<double>(4, 0));
}

// Stage 2 of training freezes weights: what is not wanted must cost no product.
TEST(Linear, UnwantedGradientsRunNoProduct) {
  const Case<float> c({37, 67, 13, 70, 20});
  const int64_t before = gemm_count().calls;
  std::vector<float> db(13, 0);
  linear_backward_weight<float>(cpu, 37, 67, 13, c.x.data(), 70, c.dy.data(), 20, nullptr, db.data());
  linear_backward_input<float>(cpu, 37, 67, 13, c.dy.data(), 20, c.w.data(), nullptr, 70, false);
  EXPECT_EQ(gemm_count().calls, before);
  EXPECT_NE(db[0], 0);
}

TEST(Linear, ThreadsDoNotChangeBits) {
  for (Size s :
       {Size{1031, 67, 97, 67, 97}, Size{300, 192, 768, 192, 768}, Size{7, 500, 3, 500, 3}}) {
    const Case<float> c(s);
    EXPECT_TRUE(testing::same_for_any_threads([&] {
      const Outputs<float> o = c.run();
      return testing::joined(o.y, o.dx, o.dw, o.db);
    }));
  }
}

}  // namespace
}  // namespace mome
