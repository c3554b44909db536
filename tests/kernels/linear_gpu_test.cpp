#include "kernels/linear/linear.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

struct Size {
  int64_t rows, in, out, ldx, ldy;
};
// 64 rows is a chunk of the column sums; widths with and without packs.
const Size kSizes[] = {{1, 1, 1, 1, 1},      {5, 7, 3, 7, 3},       {37, 67, 13, 70, 20},
                       {64, 64, 96, 64, 96}, {131, 8, 257, 8, 257}, {0, 3, 4, 3, 4},
                       {3, 0, 4, 0, 4},      {3, 4, 0, 4, 0}};

template <class T>
struct Outputs {
  std::vector<T> y, dx;
  std::vector<Real<T>> dw, db;
};

template <class T>
struct Inputs {
  Size s;
  std::vector<T> x, w, dy, y0, dx0;
  std::vector<Real<T>> b, dw0, db0;
};

template <class T>
Inputs<T> inputs(Size s) {
  const auto make = [](int64_t n, uint64_t stream) {
    return testing::rounded<T>(normal_vector<float>(n, stream));
  };
  return {s,
          make(s.rows * s.ldx, 1),
          make(s.out * s.in, 2),
          make(s.rows * s.ldy, 4),
          make(s.rows * s.ldy, 5),
          make(s.rows * s.ldx, 6),
          normal_vector<float>(s.out, 3),
          normal_vector<float>(s.out * s.in, 7),
          normal_vector<float>(s.out, 8)};
}
/// The same numbers in the CPU's type F. `rounded_bias`: what an operation over T reads of it.
template <class F, class T>
Inputs<F> as(const Inputs<T>& i) {
  const auto cast = [](const auto& v) { return testing::cast<F>(testing::doubles(v)); };
  return {i.s,
          cast(i.x),
          cast(i.w),
          cast(i.dy),
          cast(i.y0),
          cast(i.dx0),
          cast(testing::rounded<T>(i.b)),
          cast(i.dw0),
          cast(i.db0)};
}

template <class F>
Outputs<F> on_cpu(const Inputs<F>& i, bool bias, bool accumulate) {
  const Size s = i.s;
  Outputs<F> o{i.y0, i.dx0, i.dw0, i.db0};
  linear_forward<F>(cpu, s.rows, s.in, s.out, i.x.data(), s.ldx, i.w.data(),
                    bias ? i.b.data() : nullptr, o.y.data(), s.ldy);
  linear_backward_input<F>(cpu, s.rows, s.in, s.out, i.dy.data(), s.ldy, i.w.data(), o.dx.data(),
                           s.ldx, accumulate);
  linear_backward_weight<F>(cpu, s.rows, s.in, s.out, i.x.data(), s.ldx, i.dy.data(), s.ldy,
                            o.dw.data(), o.db.data());
  return o;
}

template <class T, class Queue>
Outputs<T> on_gpu(Queue& q, const Inputs<T>& i, bool bias, bool accumulate) {
  const Size s = i.s;
  DeviceArray<T, Queue> x(q, i.x), w(q, i.w), dy(q, i.dy), y(q, i.y0), dx(q, i.dx0);
  DeviceArray<float, Queue> b(q, i.b), dw(q, i.dw0), db(q, i.db0);
  linear_forward<T>(q, s.rows, s.in, s.out, x.data(), s.ldx, w.data(), bias ? b.data() : nullptr,
                    y.data(), s.ldy);
  linear_backward_input<T>(q, s.rows, s.in, s.out, dy.data(), s.ldy, w.data(), dx.data(), s.ldx,
                           accumulate);
  linear_backward_weight<T>(q, s.rows, s.in, s.out, x.data(), s.ldx, dy.data(), s.ldy, dw.data(),
                            db.data());
  return {y.read(), dx.read(), dw.read(), db.read()};
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void is_as_exact_as_plain() {
  for (Size s : kSizes)
    for (bool bias : {false, true}) {
      const bool accumulate = bias;
      SCOPED_TRACE(::testing::Message()
                   << s.rows << ", " << s.in << " -> " << s.out << (bias ? ", bias" : ""));
      const Inputs<T> in = inputs<T>(s);
      const Outputs<double> oracle = on_cpu(as<double>(in), bias, accumulate);
      const Outputs<float> plain = on_cpu(as<float>(in), bias, accumulate);
      Outputs<T> first;
      bool ran = false;
      testing::on_every_gpu([&]<class Queue>(Queue& q) {
        const Outputs<T> got = on_gpu<T>(q, in, bias, accumulate);
        EXPECT_TRUE(testing::as_exact_as(got.y, testing::rounded<T>(plain.y), oracle.y));
        EXPECT_TRUE(testing::as_exact_as(got.dx, testing::rounded<T>(plain.dx), oracle.dx));
        EXPECT_TRUE(testing::as_exact_as(got.dw, plain.dw, oracle.dw));
        EXPECT_TRUE(testing::as_exact_as(got.db, plain.db, oracle.db));
        for (int64_t r = 0; r < s.rows; ++r)  // between strided rows nothing is written
          for (int64_t c = s.out; c < s.ldy; ++c)
            EXPECT_EQ(to_float(got.y[r * s.ldy + c]), to_float(in.y0[r * s.ldy + c]));
        if constexpr (std::is_same_v<Queue, simt::Queue>) {
          if (ran)
            EXPECT_TRUE(same(got.y, first.y) && same(got.dx, first.dx) && same(got.dw, first.dw) &&
                        same(got.db, first.db))
                << "another schedule";
          first = got, ran = true;
        }
      });
    }
}

TEST(LinearGpu, FloatIsAsExactAsTheCpu) { is_as_exact_as_plain<float>(); }
TEST(LinearGpu, HalfIsAsExactAsTheCpu) { is_as_exact_as_plain<half>(); }
TEST(LinearGpu, Bf16IsAsExactAsTheCpu) { is_as_exact_as_plain<bf16>(); }

// The sum and the bias are rounded once, together: 2049 is no half, 2049 + 1 is.
TEST(LinearGpu, BiasIsAddedBeforeTheRounding) {
  testing::on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<half, Queue> x(q, testing::rounded<half>(std::vector<float>{2048, 1})),
        w(q, testing::rounded<half>(std::vector<float>{1, 1})), y(q, 1);
    DeviceArray<float, Queue> b(q, std::vector<float>{1});
    linear_forward<half>(q, 1, 2, 1, x.data(), 2, w.data(), b.data(), y.data(), 1);
    EXPECT_EQ(to_float(y.read()[0]), 2050);
  });
}

// More rows than chunks have at least: several chunks, of more than 64 rows each.
TEST(LinearGpu, LongColumnSums) {
  const int64_t rows = 8500, width = 3;
  const auto a = testing::rounded<bf16>(normal_vector<float>(rows * width, 1));
  std::vector<double> oracle(width, 1);
  column_sums<double>(cpu, rows, width, testing::doubles(a).data(), width, oracle.data());
  std::vector<float> plain(width, 1), first;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < width; ++c) plain[c] += to_float(a[r * width + c]);
  simt::Queue one, two({.seed = 3, .lazy = true});
  for (simt::Queue* q : {&one, &two}) {
    DeviceArray<bf16, simt::Queue> da(*q, a);
    DeviceArray<float, simt::Queue> sums(*q, std::vector<float>(width, 1));
    column_sums<bf16>(*q, rows, width, da.data(), width, sums.data());
    EXPECT_TRUE(testing::as_exact_as(sums.read(), plain, oracle));
    if (!first.empty()) EXPECT_TRUE(same(first, sums.read()));
    first = sums.read();
  }
}

TEST(LinearGpu, UnwantedGradientsAreNotWritten) {
  testing::on_every_gpu([&]<class Queue>(Queue& q) {
    const Inputs<half> in = inputs<half>({5, 7, 3, 7, 3});
    DeviceArray<half, Queue> x(q, in.x), w(q, in.w), dy(q, in.dy);
    DeviceArray<float, Queue> dw(q, in.dw0), db(q, in.db0);
    linear_backward_input<half>(q, 5, 7, 3, dy.data(), 3, w.data(), static_cast<half*>(nullptr), 7,
                                false);
    linear_backward_weight<half>(q, 5, 7, 3, x.data(), 7, dy.data(), 3, nullptr, db.data());
    EXPECT_FALSE(same(db.read(), in.db0));
    linear_backward_weight<half>(q, 5, 7, 3, x.data(), 7, dy.data(), 3, nullptr, nullptr);
    EXPECT_TRUE(same(dw.read(), in.dw0));
  });
}

}  // namespace
}  // namespace mome
