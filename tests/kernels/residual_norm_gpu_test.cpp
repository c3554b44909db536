#include "kernels/residual_norm/residual_norm.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

/// Which of the optional operands there are.
struct Form {
  bool gamma = true, row_scale = true, norm = true, in_place = false, dy = true, dh = true,
       parameters = true;
};

template <class R>
struct Results {
  std::vector<R> y, n, mean, rstd, dx, dh, dgamma, dweight, dbias;
};

/// Inputs, of which a T holds every number that the operation reads as T.
template <class T>
struct Case {
  int64_t rows, width;
  std::vector<T> x, h, dy, dn;
  std::vector<float> gamma, row_scale, weight, bias, start;

  Case(int64_t r, int64_t w) : rows(r), width(w) {
    const auto matrix = [&](uint64_t stream) {
      return testing::rounded<T>(testing::normal_vector<float>(rows * width, stream));
    };
    x = matrix(1), h = matrix(2), dy = matrix(3), dn = matrix(4);
    gamma = testing::normal_vector<float>(width, 5),
    weight = testing::normal_vector<float>(width, 6);
    bias = testing::normal_vector<float>(width, 7), start = testing::normal_vector<float>(width, 8);
    for (int64_t i = 0; i < rows; ++i) row_scale.push_back(i % 3 == 1 ? 0.0f : 1.25f);
  }
};

template <class R>
R* when(bool wanted, std::vector<R>& v) {
  return wanted ? v.data() : nullptr;
}

/// y is rounded to T on its way, where R is the plain form's float: the operation stores it so.
template <class R, class T>
Results<R> on_cpu(const Case<T>& c, const Form& f) {
  auto x = testing::cast<R>(testing::widened(c.x)), h = testing::cast<R>(testing::widened(c.h));
  auto dy = testing::cast<R>(testing::widened(c.dy)), dn = testing::cast<R>(testing::widened(c.dn));
  auto gamma = testing::cast<R>(c.gamma), scale = testing::cast<R>(c.row_scale),
       weight = testing::cast<R>(c.weight);
  auto bias = testing::cast<R>(c.bias);
  Results<R> o;
  o.y.resize(x.size()), o.n.resize(x.size()), o.mean.resize(c.rows), o.rstd.resize(c.rows),
      o.dx.resize(x.size()), o.dh.resize(x.size());
  o.dgamma = o.dweight = o.dbias = testing::cast<R>(c.start);
  ResidualNorm<R> a{c.rows,  c.width, when(f.gamma, gamma), when(f.row_scale, scale), nullptr,
                    nullptr, R(1e-5f)};
  residual_norm_forward<R>(cpu, a, x.data(), h.data(), o.y.data(), nullptr, nullptr, nullptr);
  if (std::is_same_v<R, float>) o.y = testing::cast<R>(testing::widened(testing::rounded<T>(o.y)));
  if (f.norm) {
    const std::vector<R> nothing(x.size());
    ResidualNorm<R> norm = a;
    norm.gamma = nullptr, norm.row_scale = nullptr, norm.weight = weight.data(),
    norm.bias = bias.data();
    residual_norm_forward<R>(cpu, norm, o.y.data(), nothing.data(), o.y.data(), o.n.data(),
                             o.mean.data(), o.rstd.data());
    a.weight = weight.data(), a.bias = bias.data();
  }
  residual_norm_backward<R>(cpu, a, h.data(), o.y.data(), o.mean.data(), o.rstd.data(),
                            when(f.dy, dy), when(f.norm, dn), o.dx.data(), when(f.dh, o.dh),
                            when(f.parameters && f.gamma, o.dgamma), when(f.parameters, o.dweight),
                            when(f.parameters, o.dbias));
  return o;
}

template <class T>
void check(int64_t rows, int64_t width, const Form& f) {
  SCOPED_TRACE(::testing::Message()
               << rows << " x " << width << " gamma " << f.gamma << " scale " << f.row_scale
               << " norm " << f.norm << " in place " << f.in_place << " dy " << f.dy << " dh "
               << f.dh << " parameters " << f.parameters);
  const Case<T> c(rows, width);
  const auto oracle = on_cpu<double>(c, f);
  const auto plain = on_cpu<float>(c, f);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& q) {
    using Matrix = DeviceArray<T, Queue>;
    using Reals = DeviceArray<float, Queue>;
    const size_t count = size_t(rows * width);
    Matrix x(q, c.x), h(q, c.h), y_apart(q, count), n(q, count), dy(q, c.dy), dn(q, c.dn),
        dx_apart(q, count), dh(q, count);
    Reals gamma(q, c.gamma), scale(q, c.row_scale), weight(q, c.weight), bias(q, c.bias),
        mean(q, rows), rstd(q, rows);
    Reals dgamma(q, c.start), dweight(q, c.start), dbias(q, c.start);
    ResidualNorm<T> a{rows,
                      width,
                      f.gamma ? gamma.data() : nullptr,
                      f.row_scale ? scale.data() : nullptr,
                      f.norm ? weight.data() : nullptr,
                      f.norm ? bias.data() : nullptr,
                      1e-5f};
    const Matrix &y = f.in_place ? x : y_apart, &dx = f.in_place && f.dy ? dy : dx_apart;
    residual_norm_forward<T>(q, a, x.data(), h.data(), y.data(), f.norm ? n.data() : nullptr,
                             mean.data(), rstd.data());
    residual_norm_backward<T>(
        q, a, h.data(), y.data(), mean.data(), rstd.data(), f.dy ? dy.data() : nullptr,
        f.norm ? dn.data() : nullptr, dx.data(), f.dh ? dh.data() : nullptr,
        f.parameters && f.gamma ? dgamma.data() : nullptr, f.parameters ? dweight.data() : nullptr,
        f.parameters ? dbias.data() : nullptr);
    std::vector<double> all;
    const auto same = [&](const auto& got, const auto& p, const std::vector<double>& o,
                          const char* what) {
      using E = typename std::decay_t<decltype(got)>::value_type;
      EXPECT_TRUE(testing::as_exact_as(got, testing::rounded<E>(p), o)) << what;
      all = testing::joined(all, testing::doubles(got));
    };
    same(y.read(), plain.y, oracle.y, "y");
    same(dx.read(), plain.dx, oracle.dx, "dx");
    if (f.dh) same(dh.read(), plain.dh, oracle.dh, "dh");
    if (f.norm) {
      same(n.read(), plain.n, oracle.n, "n");
      same(mean.read(), plain.mean, oracle.mean, "mean");
      same(rstd.read(), plain.rstd, oracle.rstd, "rstd");
    }
    same(dgamma.read(), plain.dgamma, oracle.dgamma, "dgamma");
    same(dweight.read(), plain.dweight, oracle.dweight, "dweight");
    same(dbias.read(), plain.dbias, oracle.dbias, "dbias");
    return all;
  });
}

template <class T>
void shapes_and_forms() {
  for (auto [rows, width] :
       {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {37, 64}, {2, 768}, {3, 1031}})
    check<T>(rows, width, {});
  check<T>(5, 72, {.gamma = false, .row_scale = false});
  check<T>(5, 72, {.norm = false, .in_place = true});
  check<T>(5, 72, {.norm = false, .dy = false, .parameters = false});
  check<T>(5, 72, {.in_place = true, .parameters = false});
  check<T>(5, 72, {.dy = false, .dh = false});
  check<T>(2, 1032, {.in_place = true});
}
TEST(ResidualNormGpu, IsAsExactAsAPlainLoop) {
  shapes_and_forms<float>();
  shapes_and_forms<half>();
  shapes_and_forms<bf16>();
}

}  // namespace
}  // namespace mome
