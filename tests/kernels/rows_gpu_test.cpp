#include "kernels/rows/rows.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::integer_vector;
using testing::normal_vector;

struct Size {
  int64_t rows, sources, width;
};
const Size kSizes[] = {{0, 2, 8}, {1, 1, 1}, {3, 5, 7}, {5, 4, 8}, {61, 13, 67}, {9, 31, 255}, {6, 5, 256}, {5, 2, 264}};

template <class T>
void gather(Size s) {
  SCOPED_TRACE(::testing::Message() << s.rows << " of " << s.sources << " x " << s.width);
  const auto index = integer_vector(s.rows, uint32_t(s.sources), 2);
  const auto x = testing::rounded<T>(normal_vector<float>(s.sources * s.width, 1));
  const auto dout = testing::rounded<T>(normal_vector<float>(s.rows * s.width, 3));
  const GatherInverse inverse = invert_gather(s.sources, index);
  std::vector<float> out(s.rows * s.width);
  gather_rows_forward<float>(cpu, s.rows, s.width, testing::widened(x).data(), index.data(), out.data());
  // Readers are added in order and rounded once: the CPU's float sums, rounded.
  std::vector<float> fresh(x.size()), onto = testing::widened(x);
  for (std::vector<float>* dx : {&fresh, &onto})
    gather_rows_backward<float>(cpu, s.sources, s.width, inverse.begin.data(), inverse.reader.data(),
                                testing::widened(dout).data(), dx->data(), dx == &onto);
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> dev_x(queue, x), dev_out(queue, out.size()), dev_dout(queue, dout), dx(queue, x.size()), dx_onto(queue, x);
    DeviceArray<int32_t, Queue> dev_index(queue, index), begin(queue, inverse.begin), reader(queue, inverse.reader);
    gather_rows_forward<T>(queue, s.rows, s.width, dev_x.data(), dev_index.data(), dev_out.data());
    gather_rows_backward<T>(queue, s.sources, s.width, begin.data(), reader.data(), dev_dout.data(), dx.data(), false);
    gather_rows_backward<T>(queue, s.sources, s.width, begin.data(), reader.data(), dev_dout.data(), dx_onto.data(), true);
    EXPECT_EQ(testing::widened(dev_out.read()), out);
    EXPECT_EQ(testing::widened(dx.read()), testing::widened(testing::rounded<T>(fresh)));
    EXPECT_EQ(testing::widened(dx_onto.read()), testing::widened(testing::rounded<T>(onto)));
  });
}

TEST(RowsGpu, GatherAndItsGradientAreTheCpusRoundedOnce) {
  for (const Size& s : kSizes) {
    gather<float>(s);
    gather<half>(s);
    gather<bf16>(s);
  }
}

template <class T>
void mean(const std::vector<int32_t>& count, int64_t width) {
  SCOPED_TRACE(::testing::Message() << count.size() << " segments x " << width);
  const int64_t n = int64_t(count.size());
  int64_t rows = 1;
  std::vector<int32_t> begin;
  for (int32_t c : count) begin.push_back(int32_t(rows)), rows += c + 1;  // a row that belongs to none between them
  const auto x = testing::rounded<T>(normal_vector<float>(rows * width, 1));
  const auto dout = testing::rounded<T>(normal_vector<float>(n * width, 2));
  std::vector<double> out(n * width), dx = testing::doubles(x);
  std::vector<float> plain(n * width), plain_dx = testing::widened(x);
  segment_mean_forward<double>(cpu, n, width, begin.data(), count.data(), testing::doubles(x).data(), out.data());
  segment_mean_forward<float>(cpu, n, width, begin.data(), count.data(), testing::widened(x).data(), plain.data());
  segment_mean_backward<double>(cpu, n, width, begin.data(), count.data(), testing::doubles(dout).data(), dx.data());
  segment_mean_backward<float>(cpu, n, width, begin.data(), count.data(), testing::widened(dout).data(), plain_dx.data());
  std::vector<float> first, first_dx;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<T, Queue> dev_x(queue, x), dev_out(queue, out.size()), dev_dout(queue, dout), dev_dx(queue, x);
    DeviceArray<int32_t, Queue> b(queue, begin), c(queue, count);
    segment_mean_forward<T>(queue, n, width, b.data(), c.data(), dev_x.data(), dev_out.data());
    segment_mean_backward<T>(queue, n, width, b.data(), c.data(), dev_dout.data(), dev_dx.data());
    const auto got = dev_out.read(), got_dx = dev_dx.read();
    EXPECT_TRUE(testing::as_exact_as(got, testing::rounded<T>(plain), out));
    EXPECT_TRUE(testing::as_exact_as(got_dx, testing::rounded<T>(plain_dx), dx));
    if (first_dx.empty()) first = testing::widened(got), first_dx = testing::widened(got_dx);
    EXPECT_EQ(testing::widened(got), first);  // bit for bit under every schedule
    EXPECT_EQ(testing::widened(got_dx), first_dx);
  });
}

TEST(RowsGpu, SegmentMeanIsAsExactAsAPlainLoop) {
  for (int64_t width : {1, 7, 31, 32, 33, 64, 264})
    for (const std::vector<int32_t>& count : {std::vector<int32_t>{}, {1}, {3, 1, 4, 5}, {37, 2}}) {
      mean<float>(count, width);
      mean<half>(count, width);
      mean<bf16>(count, width);
    }
}

}  // namespace
}  // namespace mome
