// Attention, forward and backward, at the shapes of a training step: GFLOP/s of its products.

#include "bench/kernels/kernel_bench.h"
#include "kernels/attention/attention.h"

namespace mome::bench {
namespace {

/// Arguments: sequences, heads, head dim, tokens (all one segment); with bias and dbias.
struct Problem {
  int64_t sequences, heads, d, tokens, ld = 3 * heads * d, ldo = heads * d;
  std::vector<AttentionSequence> sequence;
  std::vector<int32_t> position;
  std::vector<float> qkv, bias, out, dout, dqkv, dbias, lse;
  AttentionArgs<float> a;

  explicit Problem(const benchmark::State& state)
      : sequences(state.range(0)),
        heads(state.range(1)),
        d(state.range(2)),
        tokens(state.range(3)) {
    const int64_t rows = sequences * tokens;
    for (int32_t b = 0; b < sequences; ++b) {
      const int32_t begin = int32_t(b * tokens), n = int32_t(tokens);
      sequence.push_back({{begin, 0}, {n, 0}, {begin, 0}, {n, 0}, {0, 0}});
      for (int32_t i = 0; i < n; ++i) position.push_back(i);
    }
    qkv = numbers(rows * ld), bias = numbers(heads * tokens * tokens), dout = numbers(rows * ldo);
    out.resize(rows * ldo), lse.resize(rows * heads), dqkv.resize(rows * ld);
    dbias.resize(bias.size());
    a.sequences = sequences, a.sequence = sequence.data(), a.q_position = position.data();
    a.heads = heads, a.head_dim = d, a.scale = 0.125f;
    a.q = qkv.data(), a.k = a.q + ldo, a.v = a.k + ldo, a.ldq = a.ldk = a.ldv = ld;
    a.bias = bias.data(), a.bias_size = tokens;
    attention_forward(cpu, a, out.data(), ldo, lse.data());
  }
  void count(benchmark::State& state, int products) const {
    set_flops(state, 2.0 * products * sequences * heads * tokens * tokens * d);
  }
};

void attention_forward_bench(benchmark::State& state) {
  Problem p(state);
  for (auto _ : state) attention_forward(cpu, p.a, p.out.data(), p.ldo, p.lse.data());
  p.count(state, 2);
}

void attention_backward_bench(benchmark::State& state) {
  Problem p(state);
  float* dq = p.dqkv.data();
  for (auto _ : state)
    attention_backward(cpu, p.a, p.out.data(), p.dout.data(), p.ldo, p.lse.data(), dq, dq + p.ldo,
                       dq + 2 * p.ldo, p.dbias.data());
  p.count(state, 5);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "H", "d", "N"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  b->Args({128, 3, 64, 17})->Args({128, 3, 64, 37})->Args({64, 3, 64, 49})->Args({32, 16, 34, 77});
  b->Args({8, 12, 64, 197})->Args({8, 12, 64, 237});
}
BENCHMARK(attention_forward_bench)->Apply(shapes);
BENCHMARK(attention_backward_bench)->Apply(shapes);

}  // namespace
}  // namespace mome::bench
