// Attention with a trained additive bias, forward and backward, against the rate of one dense product.
// FLOPs as the field counts them: forward 4 B H N² d, backward 10 B H N² d, whatever the kernels recompute.
#pragma once
#include "bench/gpu/bench.h"
#include "kernels/attention/attention.h"
#include "kernels/common/gemm.h"

namespace mome::bench {

template <class T, class Queue>
void attention(Bench<Queue>& bench, const Cases& cases) {
  Queue& q = bench.queue();
  const int64_t h = cases.heads, d = h * cases.head_dim;
  double dense = 0;
  {
    const int64_t n = std::min<int64_t>(4096, cases.width * 6);
    Array<T, Queue> a(q, n * n), b(q, n * n), c(q, n * n);
    const double ms = bench.time([&] { gemm<T>(q, Trans::kNo, Trans::kYes, n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n); });
    dense = 2.0 * double(n) * double(n) * double(n) / (ms * 1e-3) * 1e-12;
    bench.report("attention", fmt::format("dense {}", n), "forward", ms, 2.0 * double(n) * double(n) * double(n), "TFLOP/s", 0);
  }
  for (const AttentionCase& c : cases.attention) {
    const int64_t n = c.tokens, rows = c.batch * n;
    std::vector<AttentionSequence> sequences(static_cast<size_t>(c.batch));
    std::vector<int32_t> position(static_cast<size_t>(rows));
    for (int64_t b = 0; b < c.batch; ++b) {
      AttentionSequence& s = sequences[size_t(b)];
      s = {};
      s.q_begin[1] = s.k_begin[1] = int32_t(b * n);
      s.q_count[1] = s.k_count[1] = int32_t(n);
      for (int64_t i = 0; i < n; ++i) position[size_t(b * n + i)] = int32_t(i);
    }
    Array<T, Queue> qkv(q, rows * 3 * d), out(q, rows * d), dout(q, rows * d), dqkv(q, rows * 3 * d);
    Array<float, Queue> bias(q, h * n * n), dbias(q, h * n * n), lse(q, rows * h);
    void* device_sequences = q.allocate(sequences.size() * sizeof(AttentionSequence));
    void* device_position = q.allocate(position.size() * sizeof(int32_t));
    q.upload(device_sequences, sequences.data(), sequences.size() * sizeof(AttentionSequence));
    q.upload(device_position, position.data(), position.size() * sizeof(int32_t));
    AttentionArgs<T> a;
    a.sequences = c.batch;
    a.sequence = static_cast<const AttentionSequence*>(device_sequences);
    a.q_position = static_cast<const int32_t*>(device_position);
    a.max_q = a.max_k = n;
    a.heads = h, a.head_dim = cases.head_dim, a.scale = 0.125f;
    a.q = qkv.data(), a.k = a.q + d, a.v = a.k + d;
    a.ldq = a.ldk = a.ldv = 3 * d;
    a.bias = bias.data(), a.bias_size = n;
    const double unit = double(c.batch) * double(h) * double(n) * double(n) * double(cases.head_dim);
    bench.report("attention", c.name, "forward", bench.time([&] { attention_forward<T>(q, a, out.data(), d, lse.data()); }), 4 * unit, "TFLOP/s", dense);
    bench.report("attention", c.name, "backward", bench.time([&] {
      attention_backward<T>(q, a, out.data(), dout.data(), d, lse.data(), dqkv.data(), dqkv.data() + d, dqkv.data() + 2 * d, dbias.data());
    }), 10 * unit, "TFLOP/s", dense);
    q.synchronize();
    q.release(device_sequences);
    q.release(device_position);
  }
}

}  // namespace mome::bench
