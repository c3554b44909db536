#include <string>

#include "kernels/common/gemm.h"
#include "kernels/simt/fault.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

struct Size {
  int64_t m, n, k;
};
const Size kSizes[] = {{1, 1, 1},      {1, 67, 5}, {31, 1, 129}, {5, 7, 320}, {63, 64, 65},
                       {68, 129, 625}, {3, 4, 0},  {0, 4, 3},    {3, 0, 4}};

/// Operands with strided rows; what lies between the rows may not be written.
template <class T, class C>
struct Case {
  Size s;
  Trans ta, tb;
  int64_t lda, ldb, ldc;
  std::vector<T> a, b;
  std::vector<C> c;
  Case(Size size, Trans transpose_a, Trans transpose_b)
      : s(size),
        ta(transpose_a),
        tb(transpose_b),
        lda((ta == Trans::kYes ? s.m : s.k) + 3),
        ldb((tb == Trans::kYes ? s.k : s.n) + 2),
        ldc(s.n + 1) {
    a = testing::rounded<T>(normal_vector<float>(lda * (ta == Trans::kYes ? s.k : s.m), 1));
    b = testing::rounded<T>(normal_vector<float>(ldb * (tb == Trans::kYes ? s.n : s.k), 2));
    c = testing::rounded<C>(normal_vector<float>(ldc * s.m, 3));
  }
  /// The plain loops, in the precision F.
  template <class F>
  std::vector<F> plain(F alpha, F beta) const {
    std::vector<F> out;
    for (C v : c) out.push_back(F(to_float(v)));
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        F sum = 0;
        for (int64_t l = 0; l < s.k; ++l)
          sum += F(to_float(ta == Trans::kYes ? a[l * lda + i] : a[i * lda + l])) *
                 F(to_float(tb == Trans::kYes ? b[j * ldb + l] : b[l * ldb + j]));
        F& to = out[i * ldc + j];
        to = alpha * sum + (beta == 0 ? F(0) : beta * to);
      }
    return out;
  }
  template <class Queue>
  std::vector<C> run(Queue& queue, float alpha, float beta) const {
    DeviceArray<T, Queue> da(queue, a), db(queue, b);
    DeviceArray<C, Queue> dc(queue, c);
    gemm<T, C>(queue, ta, tb, s.m, s.n, s.k, alpha, da.data(), lda, db.data(), ldb, beta, dc.data(),
               ldc);
    return dc.read();
  }
};

template <class T, class C>
void equals_the_formula() {
  for (Size s : kSizes)
    for (auto [ta, tb] : {std::pair{Trans::kNo, Trans::kNo},
                          {Trans::kNo, Trans::kYes},
                          {Trans::kYes, Trans::kNo},
                          {Trans::kYes, Trans::kYes}})
      for (auto [alpha, beta] : {std::pair{1.0f, 0.0f}, {0.5f, 1.0f}, {2.0f, -0.25f}}) {
        SCOPED_TRACE(::testing::Message() << s.m << " x " << s.n << " x " << s.k << ", " << int(ta)
                                          << int(tb) << ", beta " << beta);
        const Case<T, C> c(s, ta, tb);
        const std::vector<double> oracle = c.template plain<double>(alpha, beta);
        const std::vector<C> plain = testing::rounded<C>(c.template plain<float>(alpha, beta));
        testing::on_every_gpu([&]<class Queue>(Queue& queue) {
          const std::vector<C> got = c.run(queue, alpha, beta), again = c.run(queue, alpha, beta);
          EXPECT_TRUE(testing::as_exact_as(got, plain, oracle));
          EXPECT_TRUE(got.empty() ||
                      std::memcmp(got.data(), again.data(), got.size() * sizeof(C)) == 0);
          for (int64_t i = 0; i < s.m; ++i)
            EXPECT_EQ(to_float(got[i * c.ldc + s.n]), to_float(c.c[i * c.ldc + s.n]));
        });
      }
}

TEST(GemmGpu, FloatEqualsTheFormula) { equals_the_formula<float, float>(); }
TEST(GemmGpu, HalfEqualsTheFormula) { equals_the_formula<half, half>(); }
TEST(GemmGpu, Bf16EqualsTheFormula) { equals_the_formula<bf16, bf16>(); }
TEST(GemmGpu, HalfIntoFloatEqualsTheFormula) { equals_the_formula<half, float>(); }
TEST(GemmGpu, Bf16IntoFloatEqualsTheFormula) { equals_the_formula<bf16, float>(); }

// One rounding: sums that half cannot hold on the way are exact in the end.
TEST(GemmGpu, SumsInFloat) {
  const auto a =
      testing::rounded<half>(std::vector<float>{2048, 1, 1, -2048, 60000, 60000, -60000, -60000});
  const auto b = testing::rounded<half>(std::vector<float>(8, 1));
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<half, Queue> da(queue, a), db(queue, b), dc(queue, 1);
    gemm<half, half>(queue, Trans::kNo, Trans::kNo, 1, 1, 8, 1, da.data(), 8, db.data(), 1, 0,
                     dc.data(), 1);
    EXPECT_EQ(to_float(dc.read()[0]), 2);
  });
}

TEST(GemmGpu, BetaZeroDoesNotReadC) {
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<float, Queue> a(queue, std::vector<float>{3}), b(queue, std::vector<float>{2}),
        c(queue, 1);  // c is NaN
    gemm<float, float>(queue, Trans::kNo, Trans::kNo, 1, 1, 1, 1, a.data(), 1, b.data(), 1, 0,
                       c.data(), 1);
    EXPECT_EQ(c.read()[0], 6);
    DeviceArray<half, Queue> empty(queue, 2);
    gemm<half, half>(queue, Trans::kNo, Trans::kNo, 1, 2, 0, 1, nullptr, 1, nullptr, 2, 0,
                     empty.data(), 2);
    EXPECT_EQ(testing::widened(empty.read()), (std::vector<float>{0, 0}));
  });
}

TEST(GemmGpu, ProductsAreCounted) {
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    const Case<half, half> c({3, 4, 5}, Trans::kNo, Trans::kNo);
    const GemmCount before = gemm_count();
    c.run(queue, 1, 0);
    const GemmCount after = gemm_count();
    EXPECT_EQ(after.calls - before.calls, 1);
    EXPECT_EQ(after.flops - before.flops, 2 * 3 * 4 * 5);
  });
}

// A lazy queue runs the product when it is asked for, after what was queued before it.
TEST(GemmGpu, KeepsTheOrderOfTheQueue) {
  simt::Queue queue({.lazy = true});
  DeviceArray<float, simt::Queue> a(queue, 1), c(queue, 1);
  const float one = 1, seven = 7;
  queue.upload(a.data(), &seven, sizeof seven);
  gemm<float, float>(queue, Trans::kNo, Trans::kNo, 1, 1, 1, 1, a.data(), 1, a.data(), 1, 0,
                     c.data(), 1);
  queue.upload(a.data(), &one, sizeof one);
  EXPECT_EQ(c.read()[0], 49);
}

TEST(GemmGpu, HostMemoryIsAFault) {
  simt::Queue queue;
  std::vector<half> host(4);
  DeviceArray<half, simt::Queue> device(queue, 4);
  const auto product = [&](const half* a, const half* b, half* c) {
    try {
      gemm<half, half>(queue, Trans::kNo, Trans::kNo, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
    } catch (const simt::Fault& fault) {
      return std::string(fault.what());
    }
    return std::string();
  };
  EXPECT_NE(product(host.data(), device.data(), device.data()).find("gemm: A"), std::string::npos);
  EXPECT_NE(product(device.data(), host.data(), device.data()).find("gemm: B"), std::string::npos);
  EXPECT_NE(product(device.data(), device.data(), host.data()).find("gemm: C"), std::string::npos);
  EXPECT_NE(product(device.data() + 1, device.data(), device.data()).find("gemm: A"),
            std::string::npos);  // one element too far
}

}  // namespace
}  // namespace mome
