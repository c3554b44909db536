#include "kernels/common/gemm.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::normal_vector;

struct Size {
  int64_t m, n, k;
};
// 320 products is where gemm cuts a sum.
const Size kSizes[] = {{1, 1, 1},      {1, 67, 5},      {67, 1, 321},   {5, 7, 320},
                       {68, 258, 625}, {133, 57, 1173}, {257, 131, 67}, {31, 1000, 641}};

template <class T>
struct Case {
  Size s;
  Trans ta, tb;
  std::vector<T> a, b, c;
  int64_t lda, ldb, ldc;
  Case(Size size, Trans transpose_a, Trans transpose_b)
      : s(size),
        ta(transpose_a),
        tb(transpose_b),
        lda((ta == Trans::kYes ? s.m : s.k) + 3),
        ldb((tb == Trans::kYes ? s.k : s.n) + 2),
        ldc(s.n + 1) {
    a = normal_vector<T>(lda * (ta == Trans::kYes ? s.k : s.m), 1);
    b = normal_vector<T>(ldb * (tb == Trans::kYes ? s.n : s.k), 2);
    c = normal_vector<T>(ldc * s.m, 3);
  }
  std::vector<T> run(T alpha, T beta) const {
    std::vector<T> out = c;
    gemm(cpu, ta, tb, s.m, s.n, s.k, alpha, a.data(), lda, b.data(), ldb, beta, out.data(), ldc);
    return out;
  }
  std::vector<T> plain(T alpha, T beta) const {
    std::vector<T> out = c;
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        T sum = 0;
        for (int64_t l = 0; l < s.k; ++l)
          sum += (ta == Trans::kYes ? a[l * lda + i] : a[i * lda + l]) *
                 (tb == Trans::kYes ? b[j * ldb + l] : b[l * ldb + j]);
        out[i * ldc + j] = alpha * sum + (beta == 0 ? T(0) : beta * c[i * ldc + j]);
      }
    return out;
  }
};

template <class F>
void for_all(F&& f) {
  for (Size s : kSizes)
    for (auto [ta, tb] : {std::pair{Trans::kNo, Trans::kNo},
                          {Trans::kNo, Trans::kYes},
                          {Trans::kYes, Trans::kNo}}) {
      SCOPED_TRACE(::testing::Message()
                   << s.m << " x " << s.n << " x " << s.k << ", " << int(ta) << int(tb));
      f(s, ta, tb);
    }
}

TEST(Gemm, EqualsTheFormula) {
  for_all([](Size s, Trans ta, Trans tb) {
    const Case<double> d(s, ta, tb);
    const Case<float> f(s, ta, tb);
    for (auto [alpha, beta] : {std::pair{1.0, 0.0}, {0.5, 1.0}, {2.0, -0.25}}) {
      const std::vector<double> oracle = d.plain(alpha, beta);
      EXPECT_TRUE(testing::close_to(d.run(alpha, beta), oracle, 1e-13));
      EXPECT_TRUE(testing::within_twice(f.run(float(alpha), float(beta)),
                                        f.plain(float(alpha), float(beta)), oracle));
    }
  });
}

TEST(Gemm, ThreadsDoNotChangeBits) {
  for_all([](Size s, Trans ta, Trans tb) {
    const Case<float> f(s, ta, tb);
    const Case<double> d(s, ta, tb);
    EXPECT_TRUE(testing::same_for_any_threads([&] { return f.run(1, 1); }));
    EXPECT_TRUE(testing::same_for_any_threads([&] { return d.run(1, 1); }));
  });
}

TEST(Gemm, NoProductsScaleOrClear) {
  std::vector<float> c = {1, NAN};
  gemm<float>(cpu, Trans::kNo, Trans::kNo, 1, 1, 0, 1, nullptr, 1, nullptr, 1, 0.5f, c.data(), 2);
  EXPECT_EQ(c[0], 0.5f);
  gemm<float>(cpu, Trans::kNo, Trans::kNo, 1, 2, 0, 1, nullptr, 1, nullptr, 1, 0, c.data(), 2);
  EXPECT_EQ(c, (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace mome
