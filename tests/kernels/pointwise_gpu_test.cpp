#include "kernels/pointwise/pointwise.h"
#include "tests/kernels/same_bits.h"

namespace mome {
namespace {

using testing::DeviceArray;

template <class T>
void check(int64_t rows, int64_t width) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width);
  const int64_t count = rows * width;
  const auto a = testing::rounded<T>(testing::normal_vector<float>(count, 1)),
             b = testing::rounded<T>(testing::normal_vector<float>(count, 2));
  const auto row = testing::normal_vector<float>(width, 3);
  const auto da = testing::doubles(a), db = testing::doubles(b);
  std::vector<double> tanh(count), gradient(count), sum(count), with_row(count);
  for (int64_t i = 0; i < count; ++i) {
    tanh[i] = std::tanh(da[i]);
    gradient[i] = db[i] * (1 - da[i] * da[i]);
    sum[i] = da[i] + db[i];
    with_row[i] = da[i] + double(row[i % width]);
  }
  // The CPU's double form is the formula; its float form is the plain one.
  std::vector<double> cpu_out(count);
  tanh_forward<double>(cpu, count, da.data(), cpu_out.data());
  EXPECT_TRUE(testing::close_to(cpu_out, tanh, 1e-15));
  tanh_backward<double>(cpu, count, da.data(), db.data(), cpu_out.data());
  EXPECT_TRUE(testing::close_to(cpu_out, gradient, 1e-15));
  const auto row_doubles = testing::doubles(row);
  add_row<double>(cpu, rows, width, da.data(), row_doubles.data(), cpu_out.data());
  EXPECT_EQ(cpu_out, with_row);
  cpu_out = db;
  add<double>(cpu, count, da.data(), cpu_out.data());
  EXPECT_EQ(cpu_out, sum);

  const auto fa = testing::widened(a), fb = testing::widened(b);
  std::vector<float> ptanh(count), pgradient(count), prow(count), psum = fb;
  tanh_forward<float>(cpu, count, fa.data(), ptanh.data());
  tanh_backward<float>(cpu, count, fa.data(), fb.data(), pgradient.data());
  add_row<float>(cpu, rows, width, fa.data(), row.data(), prow.data());
  add<float>(cpu, count, fa.data(), psum.data());
  testing::same_bits_on_every_gpu([&]<class Queue>(Queue& q) {
    DeviceArray<T, Queue> qa(q, a), y(q, size_t(count)), dy(q, b), r(q, size_t(count)), s(q, b);
    DeviceArray<float, Queue> qrow(q, row);
    tanh_forward<T>(q, count, qa.data(), y.data());
    tanh_backward<T>(q, count, qa.data(), dy.data(), dy.data());
    add_row<T>(q, rows, width, qa.data(), qrow.data(), r.data());
    add<T>(q, count, qa.data(), s.data());
    EXPECT_TRUE(testing::as_exact_as(y.read(), testing::rounded<T>(ptanh), tanh));
    EXPECT_TRUE(testing::as_exact_as(dy.read(), testing::rounded<T>(pgradient), gradient));
    EXPECT_TRUE(testing::as_exact_as(r.read(), testing::rounded<T>(prow), with_row));
    EXPECT_TRUE(testing::as_exact_as(s.read(), testing::rounded<T>(psum), sum));
    return testing::joined(testing::doubles(y.read()), testing::doubles(dy.read()),
                           testing::doubles(r.read()), testing::doubles(s.read()));
  });
}

TEST(PointwiseGpu, IsAsExactAsAPlainLoop) {
  for (auto [rows, width] :
       {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {5, 768}, {2, 2056}, {7, 257}}) {
    check<float>(rows, width);
    check<half>(rows, width);
    check<bf16>(rows, width);
  }
}

}  // namespace
}  // namespace mome
