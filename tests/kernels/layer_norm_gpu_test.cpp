#include "kernels/layer_norm/layer_norm.h"

#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;

template <class T>
void forward(int64_t rows, int64_t width) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width);
  const auto x = testing::rounded<T>(testing::normal_vector<float>(rows * width, 1, 2));
  const auto w = testing::normal_vector<float>(width, 2), b = testing::normal_vector<float>(width, 3);
  // The oracle: the CPU's double form, tested against the formula in layer_norm_test.
  std::vector<double> y(x.size()), mean(rows), rstd(rows);
  layer_norm_forward<double>(cpu, rows, width, testing::doubles(x).data(), testing::doubles(w).data(), testing::doubles(b).data(), double(1e-5f),
                             y.data(), mean.data(), rstd.data());
  std::vector<float> plain(x.size()), pm(rows), pr(rows);
  layer_norm_forward<float>(cpu, rows, width, testing::widened(x).data(), w.data(), b.data(), 1e-5f, plain.data(), pm.data(), pr.data());
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> dx(queue, x), dy(queue, x.size());
    DeviceArray<float, Queue> dw(queue, w), db(queue, b), dm(queue, rows), dr(queue, rows);
    layer_norm_forward<T>(queue, rows, width, dx.data(), dw.data(), db.data(), 1e-5f, dy.data(), dm.data(), dr.data());
    EXPECT_TRUE(testing::as_exact_as(dy.read(), testing::rounded<T>(plain), y));
    EXPECT_TRUE(testing::as_exact_as(dm.read(), pm, mean));
    EXPECT_TRUE(testing::as_exact_as(dr.read(), pr, rstd));
  });
}

TEST(LayerNormGpu, ForwardIsAsExactAsAPlainLoop) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {5, 64}, {37, 129}, {2, 768}, {4, 1024}}) {
    forward<float>(rows, width);
    forward<half>(rows, width);
    forward<bf16>(rows, width);
  }
}

}  // namespace
}  // namespace mome
