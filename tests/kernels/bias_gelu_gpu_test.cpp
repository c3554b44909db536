#include "kernels/bias_gelu/bias_gelu.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

/// in_place: out over a, da over dout, as experts run it.
template <class T>
void check(Gelu kind, int64_t rows, int64_t width, bool with_bias, bool in_place) {
  SCOPED_TRACE(::testing::Message() << "kind " << int(kind) << ", " << rows << " x " << width
                                    << ", bias " << with_bias << ", in place " << in_place);
  const auto a = testing::rounded<T>(testing::normal_vector<float>(rows * width, 1, 3));
  const auto dout = testing::rounded<T>(testing::normal_vector<float>(rows * width, 2));
  const auto bias = testing::normal_vector<float>(width, 3),
             start = testing::normal_vector<float>(width, 4);
  const auto on_cpu = [&]<class R>(std::vector<R>& out, std::vector<R>& da, std::vector<R>& dbias) {
    const auto as = testing::cast<R>(testing::widened(a)),
               ds = testing::cast<R>(testing::widened(dout)), b = testing::cast<R>(bias);
    out.resize(a.size()), da.resize(a.size()), dbias = testing::cast<R>(start);
    bias_gelu_forward<R>(cpu, kind, rows, width, as.data(), with_bias ? b.data() : nullptr,
                         out.data());
    bias_gelu_backward<R>(cpu, kind, rows, width, as.data(), with_bias ? b.data() : nullptr,
                          ds.data(), da.data(), with_bias ? dbias.data() : nullptr);
  };
  std::vector<double> out, da, dbias;
  std::vector<float> plain_out, plain_da, plain_dbias;
  on_cpu.template operator()<double>(out, da, dbias);
  on_cpu.template operator()<float>(plain_out, plain_da, plain_dbias);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<T, Queue> x(q, a), again(q, a), d(q, dout), out_apart(q, a.size()),
        da_apart(q, a.size());
    DeviceArray<float, Queue> b(q, bias), db(q, start);
    const float* bp = with_bias ? b.data() : nullptr;
    const auto &o = in_place ? again : out_apart, &g = in_place ? d : da_apart;
    bias_gelu_forward<T>(q, kind, rows, width, in_place ? again.data() : x.data(), bp, o.data());
    bias_gelu_backward<T>(q, kind, rows, width, x.data(), bp, d.data(), g.data(),
                          with_bias ? db.data() : nullptr);
    EXPECT_TRUE(testing::as_exact_as(o.read(), testing::rounded<T>(plain_out), out));
    EXPECT_TRUE(testing::as_exact_as(g.read(), testing::rounded<T>(plain_da), da));
    EXPECT_TRUE(testing::as_exact_as(db.read(), plain_dbias, dbias));
    return testing::joined(testing::doubles(o.read()), testing::doubles(g.read()),
                           testing::doubles(db.read()));
  });
}

template <class T>
void shapes() {
  for (Gelu kind : {Gelu::kErf, Gelu::kTanh, Gelu::kQuick}) {
    check<T>(kind, 37, 40, true, false);
    check<T>(kind, 5, 7, false, true);
  }
  for (auto [rows, width] :
       {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 129}, {2, 1032}, {65, 16}})
    check<T>(Gelu::kErf, rows, width, true, true);
}
TEST(BiasGeluGpu, IsAsExactAsAPlainLoop) {
  shapes<float>();
  shapes<half>();
  shapes<bf16>();
}

}  // namespace
}  // namespace mome
