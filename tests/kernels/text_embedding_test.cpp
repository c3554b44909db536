#include "kernels/text_embedding/text_embedding.h"

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {

using testing::integer_vector;
using testing::normal_vector;

template <class T>
struct Case {
  int64_t rows, width, vocabulary, positions;
  std::vector<int32_t> token, pos;
  std::vector<T> word, type, position, de;
  Case(int64_t r, int64_t d, int64_t v, int64_t t)
      : rows(r),
        width(d),
        vocabulary(v),
        positions(t),
        token(integer_vector(r, uint32_t(v), 1)),
        pos(integer_vector(r, uint32_t(t), 2)),
        word(normal_vector<T>(v * d, 3)),
        type(normal_vector<T>(d, 4)),
        position(normal_vector<T>(t * d, 5)),
        de(normal_vector<T>(r * d, 6)) {
    for (int64_t i = 0; i < r; i += 3) token[i] = 0;  // one word owns a third of the rows
  }
  std::vector<T> forward(bool with_position) const {
    std::vector<T> e(rows * width);
    text_embedding_forward<T>(cpu, rows, width, token.data(), pos.data(), word.data(), type.data(),
                           with_position ? position.data() : nullptr, e.data());
    return e;
  }
};

SortedRowsView view(const SortedRows& s) { return {int64_t(s.key.size()), s.key.data(), s.begin.data(), s.row.data()}; }

template <class T>
void backward(const Case<T>& c, int32_t pad, T* dword, T* dtype, T* dposition) {
  const SortedRows tokens = sort_rows(c.token, pad), positions = sort_rows(c.pos);
  text_embedding_backward<T>(cpu, c.rows, c.width, view(tokens), view(positions), c.de.data(), dword, dtype, dposition);
}

struct Gradients {
  std::vector<float> word, type, position;
};

const std::array<int64_t, 4> kSizes[] = {
    {1, 1, 1, 1}, {7, 3, 5, 2}, {131, 67, 30522, 40}, {997, 13, 5000, 196}};

TEST(TextEmbedding, SortedRowsAscendAndKeepRowOrder) {
  const SortedRows s = sort_rows({5000, 7, 5000, 0, 7, 30521}, 0);
  EXPECT_EQ(s.key, (std::vector<int32_t>{7, 5000, 30521}));
  EXPECT_EQ(s.begin, (std::vector<int32_t>{0, 2, 4, 5}));
  EXPECT_EQ(s.row, (std::vector<int32_t>{1, 4, 0, 2, 5}));
  EXPECT_EQ(sort_rows({0, 0}, 0).begin, std::vector<int32_t>{0});
  EXPECT_TRUE(sort_rows({}).key.empty());
}

TEST(TextEmbedding, ForwardAddsThreeRows) {
  for (auto [r, d, v, t] : kSizes)
    for (bool with_position : {false, true}) {
      const Case<float> c(r, d, v, t);
      const auto e = c.forward(with_position);
      for (int64_t i = 0; i < r * d; ++i) {
        const double sum = double(c.word[c.token[i / d] * d + i % d]) + c.type[i % d] +
                           (with_position ? c.position[c.pos[i / d] * d + i % d] : 0.0f);
        ASSERT_NEAR(e[i], sum, 2.4e-7 * (4 + std::fabs(sum)));
      }
    }
}

// Rows of a word are added in row order: bit for bit what a serial loop gives.
TEST(TextEmbedding, BackwardIsTheSerialScatter) {
  for (auto [r, d, v, t] : kSizes)
    for (int32_t pad : {-1, 0}) {
      SCOPED_TRACE(::testing::Message() << r << " rows, pad " << pad);
      const Case<float> c(r, d, v, t);
      Gradients got{std::vector<float>(v * d, 1), std::vector<float>(d, 2),
                    std::vector<float>(t * d, 3)};
      Gradients want = got;
      backward(c, pad, got.word.data(), got.type.data(), got.position.data());
      std::vector<double> type(d, 2);
      for (int64_t i = 0; i < r * d; ++i) {
        if (c.token[i / d] != pad) want.word[c.token[i / d] * d + i % d] += c.de[i];
        want.position[c.pos[i / d] * d + i % d] += c.de[i];
        want.type[i % d] += c.de[i];
        type[i % d] += c.de[i];
      }
      EXPECT_EQ(got.word, want.word);
      EXPECT_EQ(got.position, want.position);
      EXPECT_TRUE(testing::within_twice(got.type, want.type, type));
    }
}

TEST(TextEmbedding, GradientsMatchFiniteDifferences) {
  const Case<double> c(11, 3, 5, 4);
  std::vector<double> dword(15, 0), dtype(3, 0), dposition(12, 0);
  backward(c, -1, dword.data(), dtype.data(), dposition.data());
  const auto check = [&](std::vector<double> Case<double>::*member,
                         const std::vector<double>& gradient) {
    Case<double> at = c;
    return testing::gradient_matches(
        [&](const std::vector<double>& value) {
          at.*member = value;
          return testing::weighted_sum(at.forward(true), c.de);
        },
        c.*member, gradient, 1e-9);
  };
  EXPECT_TRUE(check(&Case<double>::word, dword));
  EXPECT_TRUE(check(&Case<double>::type, dtype));
  EXPECT_TRUE(check(&Case<double>::position, dposition));
}

TEST(TextEmbedding, UnwantedGradientsAndNoRows) {
  const Case<float> c(7, 3, 5, 2);
  std::vector<float> dtype(3, 0), dword(15, 7);
  text_embedding_backward<float>(cpu, 7, 3, {}, {}, c.de.data(), nullptr, dtype.data(), nullptr);
  EXPECT_NE(dtype[0], 0);
  text_embedding_forward<float>(cpu, 0, 3, nullptr, nullptr, c.word.data(), c.type.data(), nullptr,
                                nullptr);
  text_embedding_backward<float>(cpu, 0, 3, view(sort_rows({})), {}, nullptr, dword.data(), nullptr, nullptr);
  EXPECT_EQ(dword, std::vector<float>(15, 7));
}

TEST(TextEmbedding, ThreadsDoNotChangeBits) {
  const Case<float> c(997, 67, 300, 40);
  EXPECT_TRUE(testing::same_for_any_threads([&] {
    std::vector<float> dword(300 * 67, 0), dtype(67, 0), dposition(40 * 67, 0);
    backward(c, 0, dword.data(), dtype.data(), dposition.data());
    return testing::joined(c.forward(true), dword, dtype, dposition);
  }));
}

}  // namespace
}  // namespace mome
