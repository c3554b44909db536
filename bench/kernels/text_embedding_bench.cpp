#include "bench/kernels/kernel_bench.h"
#include "kernels/text_embedding/text_embedding.h"

namespace mome::bench {
namespace {

struct Buffers {
  int64_t rows, width, vocabulary = 30522;
  std::vector<int32_t> token, pos;
  std::vector<float> word, type, position, e, dword, dposition;
  explicit Buffers(const benchmark::State& state)
      : rows(state.range(0)),
        width(state.range(1)),
        word(numbers(vocabulary * width)),
        type(numbers(width)),
        position(numbers(40 * width)),
        e(numbers(rows * width)),
        dword(vocabulary * width),
        dposition(40 * width) {
    // Every twelfth row is [CLS]; other words as rare as random ones, the worst case for the sort.
    RandomStream random(1, 0, Purpose::kSynthetic, 2);
    for (int64_t r = 0; r < rows; ++r) {
      token.push_back(r % 12 == 0 ? 101 : int32_t(random.below(uint32_t(vocabulary))));
      pos.push_back(int32_t(r % 12));
    }
  }
};

void text_embedding_forward_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state)
    text_embedding_forward<float>(cpu, s.rows, s.width, s.token.data(), s.pos.data(), s.word.data(),
                           s.type.data(), s.position.data(), s.e.data());
  set_bytes(state, 2.0 * sizeof(float) * s.rows * s.width);
}
BENCHMARK(text_embedding_forward_f32)->Apply(hidden_shapes);

void text_embedding_backward_f32(benchmark::State& state) {
  Buffers s(state);
  for (auto _ : state) {
    const SortedRows t = sort_rows(s.token, 0), p = sort_rows(s.pos);
    text_embedding_backward<float>(cpu, s.rows, s.width, {int64_t(t.key.size()), t.key.data(), t.begin.data(), t.row.data()},
                                   {int64_t(p.key.size()), p.key.data(), p.begin.data(), p.row.data()}, s.e.data(),
                                   s.dword.data(), s.type.data(), s.dposition.data());
  }
  // de once for each of three gradients; dword read and written.
  set_bytes(state, 5.0 * sizeof(float) * s.rows * s.width);
}
BENCHMARK(text_embedding_backward_f32)->Apply(hidden_shapes);

}  // namespace
}  // namespace mome::bench
