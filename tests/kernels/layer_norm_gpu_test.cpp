#include "kernels/layer_norm/layer_norm.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

template <class T>
void forward(int64_t rows, int64_t width) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width);
  const auto x = testing::rounded<T>(testing::normal_vector<float>(rows * width, 1, 2));
  const auto w = testing::normal_vector<float>(width, 2),
             b = testing::normal_vector<float>(width, 3);
  // The oracle: the CPU's double form, tested against the formula in layer_norm_test.
  std::vector<double> y(x.size()), mean(rows), rstd(rows);
  layer_norm_forward<double>(cpu, rows, width, testing::doubles(x).data(),
                             testing::doubles(w).data(), testing::doubles(b).data(), double(1e-5f),
                             y.data(), mean.data(), rstd.data());
  std::vector<float> plain(x.size()), pm(rows), pr(rows);
  layer_norm_forward<float>(cpu, rows, width, testing::widened(x).data(), w.data(), b.data(), 1e-5f,
                            plain.data(), pm.data(), pr.data());
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> dx(queue, x), dy(queue, x.size());
    DeviceArray<float, Queue> dw(queue, w), db(queue, b), dm(queue, rows), dr(queue, rows);
    layer_norm_forward<T>(queue, rows, width, dx.data(), dw.data(), db.data(), 1e-5f, dy.data(),
                          dm.data(), dr.data());
    EXPECT_TRUE(testing::as_exact_as(dy.read(), testing::rounded<T>(plain), y));
    EXPECT_TRUE(testing::as_exact_as(dm.read(), pm, mean));
    EXPECT_TRUE(testing::as_exact_as(dr.read(), pr, rstd));
  });
}

TEST(LayerNormGpu, ForwardIsAsExactAsAPlainLoop) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8},
                             {1, 1},
                             {3, 7},
                             {5, 64},
                             {37, 129},
                             {2, 768},
                             {4, 1024},
                             {3, 1031},
                             {2, 2304}}) {
    forward<float>(rows, width);
    forward<half>(rows, width);
    forward<bf16>(rows, width);
  }
}

/// in_place: dx lies where dy lies, as the tape does above a frozen input.
template <class T>
void backward(int64_t rows, int64_t width, bool accumulate, bool in_place, bool parameters) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width << (accumulate ? " accumulate" : "")
                                    << (in_place ? " in place" : ""));
  const auto x = testing::rounded<T>(testing::normal_vector<float>(rows * width, 1, 2));
  const auto dy = testing::rounded<T>(testing::normal_vector<float>(rows * width, 4));
  const auto before = testing::rounded<T>(testing::normal_vector<float>(rows * width, 5));
  const auto w = testing::normal_vector<float>(width, 2),
             start = testing::normal_vector<float>(width, 6);
  const auto on_cpu = [&]<class R>(std::vector<R> xs, std::vector<R> gs, std::vector<R> dx,
                                   std::vector<R>& dw, std::vector<R>& db) {
    const std::vector<R> weight = testing::cast<R>(w), zero(width);
    std::vector<R> y(xs.size()), mean(rows), rstd(rows);
    layer_norm_forward<R>(cpu, rows, width, xs.data(), weight.data(), zero.data(), R(1e-5f),
                          y.data(), mean.data(), rstd.data());
    layer_norm_backward<R>(cpu, rows, width, xs.data(), weight.data(), mean.data(), rstd.data(),
                           gs.data(), dx.data(), accumulate, parameters ? dw.data() : nullptr,
                           parameters ? db.data() : nullptr);
    return dx;
  };
  auto dw = testing::cast<double>(start), db = dw;
  auto pw = start, pb = start;
  const auto oracle =
      on_cpu(testing::doubles(x), testing::doubles(dy), testing::doubles(before), dw, db);
  const auto plain =
      on_cpu(testing::widened(x), testing::widened(dy), testing::widened(before), pw, pb);
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> qx(queue, x), qdy(queue, dy), qdx(queue, before), y(queue, x.size());
    DeviceArray<float, Queue> qw(queue, w), zero(queue, std::vector<float>(width)),
        mean(queue, rows), rstd(queue, rows);
    DeviceArray<float, Queue> qdw(queue, start), qdb(queue, start);
    layer_norm_forward<T>(queue, rows, width, qx.data(), qw.data(), zero.data(), 1e-5f, y.data(),
                          mean.data(), rstd.data());
    layer_norm_backward<T>(queue, rows, width, qx.data(), qw.data(), mean.data(), rstd.data(),
                           qdy.data(), in_place ? qdy.data() : qdx.data(), accumulate,
                           parameters ? qdw.data() : nullptr, parameters ? qdb.data() : nullptr);
    const auto dx = in_place ? qdy.read() : qdx.read();
    EXPECT_TRUE(testing::as_exact_as(dx, testing::rounded<T>(plain), oracle));
    EXPECT_TRUE(testing::as_exact_as(qdw.read(), pw, dw));
    EXPECT_TRUE(testing::as_exact_as(qdb.read(), pb, db));
    return testing::joined(testing::doubles(dx), testing::doubles(qdw.read()),
                           testing::doubles(qdb.read()));
  });
}

template <class T>
void backward_forms() {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8},
                             {1, 1},
                             {3, 7},
                             {37, 64},
                             {17, 129},
                             {2, 768},
                             {3, 1031}})
    backward<T>(rows, width, rows % 2 == 0, false, true);
  backward<T>(5, 72, true, false, false);
  backward<T>(5, 72, false, true, true);
  backward<T>(2, 1032, false, true, true);
}
TEST(LayerNormGpu, BackwardIsAsExactAsAPlainLoop) {
  backward_forms<float>();
  backward_forms<half>();
  backward_forms<bf16>();
}

}  // namespace
}  // namespace mome
