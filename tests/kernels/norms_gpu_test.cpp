// LayerNorm and its fused form with residual, layer scale and drop path, GELU, dropout and the pointwise operations on the GPU
// devices, against the CPU's double forms.
#include "kernels/bias_gelu/bias_gelu.h"
#include "kernels/dropout/dropout.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/residual_norm/residual_norm.h"
#include "kernels/simt/counters.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

template <class S>
std::vector<S> as(const std::vector<float>& v) {
  return std::vector<S>(v.begin(), v.end());
}

template <class T>
struct NormCase {
  int64_t rows, width;
  bool residual, scaled, dropped, frozen;
  std::vector<T> x, h, dy, dn;
  std::vector<float> gamma, row_scale, weight, bias;
  NormCase(int64_t rows, int64_t width, bool residual, bool scaled, bool dropped, bool frozen)
      : rows(rows), width(width), residual(residual), scaled(scaled), dropped(dropped), frozen(frozen) {
    const int64_t n = rows * width;
    x = testing::rounded<T>(normal_vector<float>(n, 1, 2)), h = testing::rounded<T>(normal_vector<float>(n, 2));
    dy = testing::rounded<T>(normal_vector<float>(n, 3)), dn = testing::rounded<T>(normal_vector<float>(n, 4));
    gamma = normal_vector<float>(width, 5), weight = normal_vector<float>(width, 6), bias = normal_vector<float>(width, 7);
    for (int64_t r = 0; r < rows; ++r) row_scale.push_back(r % 3 ? 1.25f : 0.0f);
  }
};

template <class S>
struct NormResult {
  std::vector<S> y, n, dx, dh;
  std::vector<Real<S>> mean, rstd, dgamma, dweight, dbias;
};

// The CPU's form in precision S. y is rounded to T before the norm reads it, as every 16-bit form does that stores y.
template <class S, class T>
NormResult<S> reference(const NormCase<T>& c) {
  const auto wide = [](const std::vector<T>& v) { return as<S>(testing::widened(v)); };
  const auto x = wide(c.x), h = wide(c.h), dy = wide(c.dy), dn = wide(c.dn);
  const auto gamma = as<S>(c.gamma), scale = as<S>(c.row_scale), weight = as<S>(c.weight), bias = as<S>(c.bias);
  const size_t n = x.size();
  NormResult<S> o;
  o.y = x, o.n.resize(n), o.dx.resize(n), o.dh.resize(n), o.mean.resize(c.rows), o.rstd.resize(c.rows);
  o.dgamma.assign(c.width, S(0.5)), o.dweight = o.dbias = o.dgamma;
  ResidualNorm<S> a;
  a.rows = c.rows, a.width = c.width, a.eps = S(1e-5f);
  if (c.residual) {
    a.gamma = c.scaled ? gamma.data() : nullptr, a.row_scale = c.dropped ? scale.data() : nullptr;
    residual_norm_forward<S>(cpu, a, x.data(), h.data(), o.y.data(), nullptr, nullptr, nullptr);
    for (S& v : o.y) v = S(to_float(from_float<T>(float(v))));
  }
  layer_norm_forward<S>(cpu, c.rows, c.width, o.y.data(), weight.data(), bias.data(), S(1e-5f), o.n.data(), o.mean.data(), o.rstd.data());
  S* dweight = c.frozen ? nullptr : o.dweight.data();
  S* dbias = c.frozen ? nullptr : o.dbias.data();
  if (!c.residual) {
    layer_norm_backward<S>(cpu, c.rows, c.width, o.y.data(), weight.data(), o.mean.data(), o.rstd.data(), dn.data(), o.dx.data(), false, dweight, dbias);
    return o;
  }
  a.weight = weight.data(), a.bias = bias.data();
  residual_norm_backward<S>(cpu, a, h.data(), o.y.data(), o.mean.data(), o.rstd.data(), dy.data(), dn.data(), o.dx.data(), o.dh.data(),
                            c.scaled && !c.frozen ? o.dgamma.data() : nullptr, dweight, dbias);
  // Rows too long for registers: dgamma is of the gradient as it was stored.
  if (c.width > 1024 && c.scaled && !c.frozen && std::is_same_v<S, float>)
    for (int64_t k = 0; k < c.width; ++k) {
      o.dgamma[k] = S(0.5);
      for (int64_t r = 0; r < c.rows; ++r)
        o.dgamma[k] += to_float(from_float<T>(float(o.dx[r * c.width + k]))) * (c.dropped ? scale[r] : S(1)) * h[r * c.width + k];
    }
  return o;
}

template <class T>
void compare(const NormCase<T>& c) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.width << (c.residual ? ", residual" : "") << (c.scaled ? ", scaled" : "") << ", " << sizeof(T)
                                    << " bytes");
  const NormResult<double> want = reference<double>(c);
  const NormResult<float> plain = reference<float>(c);
  std::vector<std::vector<float>> first;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    const size_t n = c.x.size();
    DeviceArray<T, Queue> x(queue, c.x), h(queue, c.h), dy(queue, c.dy), dn(queue, c.dn), y(queue, n), norm(queue, n), dx(queue, n), dh(queue, n);
    DeviceArray<float, Queue> gamma(queue, c.gamma), scale(queue, c.row_scale), weight(queue, c.weight), bias(queue, c.bias), mean(queue, c.rows),
        rstd(queue, c.rows);
    const std::vector<float> half_full(c.width, 0.5f);
    DeviceArray<float, Queue> dgamma(queue, half_full), dweight(queue, half_full), dbias(queue, half_full);
    float* dw = c.frozen ? nullptr : dweight.data();
    float* db = c.frozen ? nullptr : dbias.data();
    if (c.residual) {
      ResidualNorm<T> a;
      a.rows = c.rows, a.width = c.width, a.eps = 1e-5f, a.weight = weight.data(), a.bias = bias.data();
      a.gamma = c.scaled ? gamma.data() : nullptr, a.row_scale = c.dropped ? scale.data() : nullptr;
      residual_norm_forward<T>(queue, a, x.data(), h.data(), y.data(), norm.data(), mean.data(), rstd.data());
      queue.copy(dx.data(), dy.data(), n * sizeof(T));  // dx aliases dy
      residual_norm_backward<T>(queue, a, h.data(), y.data(), mean.data(), rstd.data(), dx.data(), dn.data(), dx.data(), dh.data(),
                                c.scaled && !c.frozen ? dgamma.data() : nullptr, dw, db);
      EXPECT_TRUE(testing::as_exact_as(y.read(), testing::rounded<T>(plain.y), want.y)) << "y";
      EXPECT_TRUE(testing::as_exact_as(dh.read(), testing::rounded<T>(plain.dh), want.dh)) << "dh";
      EXPECT_TRUE(testing::as_exact_as(dgamma.read(), plain.dgamma, want.dgamma)) << "dgamma";
    } else {
      layer_norm_forward<T>(queue, c.rows, c.width, x.data(), weight.data(), bias.data(), 1e-5f, norm.data(), mean.data(), rstd.data());
      layer_norm_backward<T>(queue, c.rows, c.width, x.data(), weight.data(), mean.data(), rstd.data(), dn.data(), dx.data(), false, dw, db);
    }
    EXPECT_TRUE(testing::as_exact_as(norm.read(), testing::rounded<T>(plain.n), want.n)) << "n";
    EXPECT_TRUE(testing::as_exact_as(mean.read(), plain.mean, want.mean)) << "mean";
    EXPECT_TRUE(testing::as_exact_as(rstd.read(), plain.rstd, want.rstd)) << "rstd";
    if (c.width > 1 || c.residual) {
      EXPECT_TRUE(testing::as_exact_as(dx.read(), testing::rounded<T>(plain.dx), want.dx)) << "dx";
    }
    EXPECT_TRUE(testing::as_exact_as(dweight.read(), plain.dweight, want.dweight)) << "dweight";
    EXPECT_TRUE(testing::as_exact_as(dbias.read(), plain.dbias, want.dbias)) << "dbias";
    const std::vector<std::vector<float>> bits = {testing::widened(dx.read()), testing::widened(norm.read()), dgamma.read(), dweight.read(), dbias.read()};
    if (first.empty()) first = bits;
    EXPECT_EQ(bits, first);  // whatever the schedule
  });
}

template <class T>
void norms() {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {17, 64}, {37, 129}, {20, 768}, {5, 1024}, {3, 1025}})
    for (bool residual : {false, true}) compare(NormCase<T>(rows, width, residual, rows != 17, rows != 37, rows == 5));
}
TEST(NormsGpu, Float) { norms<float>(); }
TEST(NormsGpu, Half) { norms<half>(); }
TEST(NormsGpu, Bf16) { norms<bf16>(); }

TEST(NormsGpu, BackwardAddsToDx) {
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    const NormCase<float> c(5, 64, false, false, false, false);
    DeviceArray<float, Queue> x(queue, c.x), dn(queue, c.dn), weight(queue, c.weight), n(queue, c.x.size()), mean(queue, 5), rstd(queue, 5);
    DeviceArray<float, Queue> set(queue, c.x.size()), added(queue, c.dy);
    layer_norm_forward<float>(queue, 5, 64, x.data(), weight.data(), weight.data(), 1e-5f, n.data(), mean.data(), rstd.data());
    layer_norm_backward<float>(queue, 5, 64, x.data(), weight.data(), mean.data(), rstd.data(), dn.data(), set.data(), false, nullptr, nullptr);
    layer_norm_backward<float>(queue, 5, 64, x.data(), weight.data(), mean.data(), rstd.data(), dn.data(), added.data(), true, nullptr, nullptr);
    const auto s = set.read(), a = added.read();
    for (size_t i = 0; i < s.size(); ++i) ASSERT_EQ(a[i], c.dy[i] + s[i]);
  });
}

// At width 768 every access of the matrices is whole lines: sectors moved are the sectors asked for.
TEST(NormsGpu, AccessesAreCoalesced) {
  simt::reset_counters();
  simt::Queue queue({.count = true});
  const NormCase<half> c(8, 768, true, true, true, false);
  DeviceArray<half, simt::Queue> x(queue, c.x), h(queue, c.h), y(queue, c.x.size()), n(queue, c.x.size());
  DeviceArray<float, simt::Queue> gamma(queue, c.gamma), weight(queue, c.weight), mean(queue, 8), rstd(queue, 8);
  ResidualNorm<half> a;
  a.rows = 8, a.width = 768, a.gamma = gamma.data(), a.weight = a.bias = weight.data();
  residual_norm_forward<half>(queue, a, x.data(), h.data(), y.data(), n.data(), mean.data(), rstd.data());
  const simt::Counters counted = simt::counters()["residual_norm_forward"];
  EXPECT_GT(counted.ideal_sectors, 4 * 8 * 768 * 2 / 32);
  // Parameters are read one float a lane, 32 bytes apart: half the sectors of a request at least are used by the next ones.
  EXPECT_LE(counted.global_sectors, counted.ideal_sectors * 8);
}

template <class T>
void gelus() {
  for (Gelu kind : {Gelu::kErf, Gelu::kTanh, Gelu::kQuick})
    for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 5}, {2, 3}, {70, 13}, {33, 64}})
      for (bool with_bias : {false, true}) {
        SCOPED_TRACE(::testing::Message() << int(kind) << ": " << rows << " x " << width << (with_bias ? ", bias" : ""));
        const int64_t n = rows * width;
        const auto a = testing::rounded<T>(normal_vector<float>(n, 1, 2)), dout = testing::rounded<T>(normal_vector<float>(n, 2));
        const auto b = normal_vector<float>(width, 3);
        const auto run = [&]<class S>(S) {
          const auto x = as<S>(testing::widened(a)), g = as<S>(testing::widened(dout)), bias = as<S>(b);
          std::tuple<std::vector<S>, std::vector<S>, std::vector<S>> o{std::vector<S>(n), std::vector<S>(n), std::vector<S>(width, 0.5)};
          bias_gelu_forward<S>(cpu, kind, rows, width, x.data(), with_bias ? bias.data() : nullptr, std::get<0>(o).data());
          bias_gelu_backward<S>(cpu, kind, rows, width, x.data(), with_bias ? bias.data() : nullptr, g.data(), std::get<1>(o).data(), std::get<2>(o).data());
          return o;
        };
        const auto [want_out, want_da, want_db] = run(double{});
        const auto [plain_out, plain_da, plain_db] = run(float{});
        testing::on_every_gpu([&]<class Queue>(Queue& queue) {
          DeviceArray<T, Queue> x(queue, a), g(queue, dout), out(queue, n);
          DeviceArray<float, Queue> bias(queue, b), db(queue, std::vector<float>(width, 0.5f));
          bias_gelu_forward<T>(queue, kind, rows, width, x.data(), with_bias ? bias.data() : nullptr, out.data());
          bias_gelu_backward<T>(queue, kind, rows, width, x.data(), with_bias ? bias.data() : nullptr, g.data(), g.data(), db.data());  // in place
          EXPECT_TRUE(testing::as_exact_as(out.read(), testing::rounded<T>(plain_out), want_out));
          EXPECT_TRUE(testing::as_exact_as(g.read(), testing::rounded<T>(plain_da), want_da));
          EXPECT_TRUE(testing::as_exact_as(db.read(), plain_db, want_db));
        });
      }
}
TEST(BiasGeluGpu, AsExactAsPlain) { gelus<float>(), gelus<half>(), gelus<bf16>(); }

TEST(DropoutGpu, DrawsAreTheCpus) {
  for (int64_t count : {0, 1, 3, 4, 1031}) {
    const auto x = normal_vector<float>(count, 1);
    std::vector<float> want(count);
    dropout<float>(cpu, count, x.data(), 0.3, 5, 7, 2, want.data());
    std::vector<int32_t> sample;
    for (int64_t i = 0; i < count; ++i) sample.push_back(int32_t(i / 3));
    std::vector<float> scale(count);
    drop_path_scale<float>(cpu, count, sample.data(), 0.2, 5, 7, 3, scale.data());
    testing::on_every_gpu([&]<class Queue>(Queue& queue) {
      DeviceArray<float, Queue> in(queue, x), out(queue, count), rows(queue, count);
      DeviceArray<int32_t, Queue> of(queue, sample);
      dropout<float>(queue, count, in.data(), 0.3, 5, 7, 2, out.data());
      EXPECT_EQ(out.read(), want);
      drop_path_scale<half>(queue, count, of.data(), 0.2, 5, 7, 3, rows.data());
      EXPECT_EQ(rows.read(), scale);
    });
  }
}

TEST(PointwiseGpu, AsTheCpu) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 3}, {5, 7}, {300, 3}}) {
    const int64_t n = rows * width;
    const auto x = normal_vector<float>(n, 1), y = normal_vector<float>(n, 2), row = normal_vector<float>(width, 3);
    std::vector<float> want_tanh(n), want_back(n), want_row(n), want_sum = y;
    tanh_forward<float>(cpu, n, x.data(), want_tanh.data());
    tanh_backward<float>(cpu, n, want_tanh.data(), y.data(), want_back.data());
    add_row<float>(cpu, rows, width, x.data(), row.data(), want_row.data());
    add<float>(cpu, n, x.data(), true, want_sum.data());
    testing::on_every_gpu([&]<class Queue>(Queue& queue) {
      DeviceArray<float, Queue> a(queue, x), b(queue, y), r(queue, row), t(queue, n), back(queue, n), plus(queue, n);
      tanh_forward<float>(queue, n, a.data(), t.data());
      tanh_backward<float>(queue, n, t.data(), b.data(), back.data());
      add_row<float>(queue, rows, width, a.data(), r.data(), plus.data());
      const auto got = t.read(), got_back = back.read();
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_NEAR(got[i], want_tanh[i], 4e-7);
        EXPECT_NEAR(got_back[i], want_back[i], 2e-6);
      }
      EXPECT_EQ(plus.read(), want_row);
      add<float>(queue, n, a.data(), true, b.data());
      EXPECT_EQ(b.read(), want_sum);
      add<float>(queue, n, a.data(), false, b.data());
      EXPECT_EQ(b.read(), x);
    });
  }
}

}  // namespace
}  // namespace mome
