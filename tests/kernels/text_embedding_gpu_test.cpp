#include "kernels/text_embedding/text_embedding.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::integer_vector;
using testing::normal_vector;

template <class Queue>
struct DeviceRows {
  DeviceArray<int32_t, Queue> key, begin, row;
  int64_t keys;
  DeviceRows(Queue& queue, const SortedRows& s) : key(queue, s.key), begin(queue, s.begin), row(queue, s.row), keys(int64_t(s.key.size())) {}
  SortedRowsView view() const { return {keys, key.data(), begin.data(), row.data()}; }
};

SortedRowsView host(const SortedRows& s) { return {int64_t(s.key.size()), s.key.data(), s.begin.data(), s.row.data()}; }

template <class T>
void check(int64_t rows, int64_t width, bool with_position) {
  SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", position " << with_position);
  const int64_t vocabulary = 11, positions = 5;
  std::vector<int32_t> token = integer_vector(rows, uint32_t(vocabulary), 1), pos = integer_vector(rows, uint32_t(positions), 2);
  for (int64_t i = 0; i < rows; i += 3) token[i] = 4;
  const auto word = normal_vector<float>(vocabulary * width, 3), type = normal_vector<float>(width, 4),
             position = normal_vector<float>(positions * width, 5);
  const auto de = testing::rounded<T>(normal_vector<float>(rows * width, 6));
  const SortedRows by_token = sort_rows(token, 0), by_pos = sort_rows(pos);

  std::vector<double> e(de.size());
  std::vector<float> plain(de.size());
  text_embedding_forward<double>(cpu, rows, width, token.data(), pos.data(), testing::doubles(word).data(), testing::doubles(type).data(),
                                 with_position ? testing::doubles(position).data() : nullptr, e.data());
  text_embedding_forward<float>(cpu, rows, width, token.data(), pos.data(), word.data(), type.data(),
                                with_position ? position.data() : nullptr, plain.data());
  // Gradients are added to what is there: the tables themselves serve as that.
  std::vector<float> dword = word, dposition = position, plain_type = type;
  std::vector<double> dtype = testing::doubles(type);
  text_embedding_backward<float>(cpu, rows, width, host(by_token), host(by_pos), testing::widened(de).data(), dword.data(), nullptr,
                                 dposition.data());
  text_embedding_backward<double>(cpu, rows, width, {}, {}, testing::doubles(de).data(), nullptr, dtype.data(), nullptr);
  text_embedding_backward<float>(cpu, rows, width, {}, {}, testing::widened(de).data(), nullptr, plain_type.data(), nullptr);

  std::vector<float> first;
  testing::on_every_gpu([&]<class Queue>(Queue& queue) {
    DeviceArray<int32_t, Queue> t(queue, token), p(queue, pos);
    DeviceArray<float, Queue> w(queue, word), ty(queue, type), po(queue, position), gw(queue, word), gt(queue, type), gp(queue, position);
    DeviceArray<T, Queue> out(queue, e.size()), d(queue, de);
    const DeviceRows<Queue> tokens(queue, by_token), at(queue, by_pos);
    text_embedding_forward<T>(queue, rows, width, t.data(), p.data(), w.data(), ty.data(), with_position ? po.data() : nullptr, out.data());
    text_embedding_backward<T>(queue, rows, width, tokens.view(), at.view(), d.data(), gw.data(), gt.data(),
                               with_position ? gp.data() : nullptr);
    EXPECT_TRUE(testing::as_exact_as(out.read(), testing::rounded<T>(plain), e));
    EXPECT_EQ(gw.read(), dword);  // rows of a key are added in order: bit for bit the serial sum
    EXPECT_EQ(gp.read(), with_position ? dposition : position);
    EXPECT_TRUE(testing::as_exact_as(gt.read(), plain_type, dtype));
    if (first.empty()) first = gt.read();
    EXPECT_EQ(gt.read(), first);
    // Each gradient alone.
    DeviceArray<float, Queue> alone(queue, type);
    text_embedding_backward<T>(queue, rows, width, {}, {}, d.data(), nullptr, alone.data(), nullptr);
    EXPECT_EQ(alone.read(), first);
  });
}

TEST(TextEmbeddingGpu, EqualsTheCpuForm) {
  for (auto [rows, width] : {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {3, 7}, {31, 127}, {33, 128}, {65, 132}})
    for (bool position : {false, true}) {
      check<float>(rows, width, position);
      check<half>(rows, width, position);
      check<bf16>(rows, width, position);
    }
}

// More rows than 128 chunks of 32: chunks grow.
TEST(TextEmbeddingGpu, ManyRows) { check<bf16>(4099, 3, true); }

}  // namespace
}  // namespace mome
