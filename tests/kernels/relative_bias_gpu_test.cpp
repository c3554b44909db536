#include "kernels/relative_bias/relative_bias.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;

struct Setting {
  int64_t text, grid, heads, ld, column;
};
// Nothing at all; one token; one patch; lists within a warp, longer than one, and none for most
// rows.
const Setting kSettings[] = {{0, 0, 2, 4, 1}, {1, 0, 1, 1, 0},  {0, 1, 3, 7, 2},
                             {7, 3, 3, 7, 3}, {13, 4, 1, 2, 1}, {33, 0, 5, 5, 0}};

TEST(RelativeBiasGpu, ForwardGathersAndBackwardIsAsExactAsAPlainLoop) {
  for (const Setting& s : kSettings) {
    SCOPED_TRACE(::testing::Message()
                 << s.text << " tokens, grid " << s.grid << ", " << s.heads << " heads");
    const RelativeIndex r = make_relative_index(s.text, s.grid, s.grid ? s.grid : 3);
    const int64_t entries = s.heads * r.size * r.size;
    const auto table = normal_vector<float>(r.table_rows * s.ld, 1),
               dbias = normal_vector<float>(entries, 2),
               earlier = normal_vector<float>(r.table_rows * s.ld, 3);
    std::vector<float> bias(entries), plain = earlier;
    std::vector<double> oracle = testing::doubles(earlier);
    relative_bias_forward<float>(cpu, view(r), table.data(), s.ld, s.column, s.heads, bias.data());
    relative_bias_backward<float>(cpu, view(r), dbias.data(), s.heads, plain.data(), s.ld,
                                  s.column);
    relative_bias_backward<double>(cpu, view(r), testing::doubles(dbias).data(), s.heads,
                                   oracle.data(), s.ld, s.column);
    std::vector<float> first;
    testing::on_every_gpu([&]<class Queue>(Queue& queue) {
      DeviceArray<int32_t, Queue> index(queue, r.index), begin(queue, r.begin),
          inverse(queue, r.inverse);
      DeviceArray<float, Queue> dev_table(queue, table), dev_bias(queue, bias.size()),
          dev_dbias(queue, dbias), dtable(queue, earlier);
      const RelativeIndexView v{r.size, r.table_rows, index.data(), begin.data(), inverse.data()};
      relative_bias_forward<float>(queue, v, dev_table.data(), s.ld, s.column, s.heads,
                                   dev_bias.data());
      relative_bias_backward<float>(queue, v, dev_dbias.data(), s.heads, dtable.data(), s.ld,
                                    s.column);
      EXPECT_EQ(dev_bias.read(), bias);
      const auto got = dtable.read();
      EXPECT_TRUE(testing::as_exact_as(got, plain, oracle));
      for (size_t i = 0; i < got.size(); ++i)  // other layers' columns are left alone
        if (const int64_t c = int64_t(i) % s.ld; c < s.column || c >= s.column + s.heads) {
          ASSERT_EQ(got[i], earlier[i]);
        }
      if (first.empty()) first = got;
      EXPECT_EQ(got, first);  // bit for bit under every schedule
    });
  }
}

}  // namespace
}  // namespace mome
