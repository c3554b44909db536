// Attention's kernels as Volta, Turing and Ampere (half), Ampere (bf16) and without tensor cores (float), against the CPU's
// double form, by the error of a plain implementation that rounds what any 16-bit attention rounds: P and dS before their products.
#include "kernels/attention/attention.h"

#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;

struct Shape {
  int text, image;
  int q_text = -1, q_image = -1;  // queries of the first tokens; below 0: all
};

template <class T>
struct Case {
  std::vector<AttentionSequence> sequences;
  std::vector<int32_t> position;
  int64_t heads, d, ld, q_rows = 0, k_rows = 0, size, max_q = 0, max_k = 0;
  bool with_bias, causal;
  std::vector<T> q, k, v, dout;
  std::vector<float> bias;

  Case(const std::vector<Shape>& shapes, int64_t heads, int64_t d, bool with_bias, bool causal, int64_t spare = 0)
      : sequences(shapes.size()), heads(heads), d(d), ld(heads * d + spare), with_bias(with_bias), causal(causal) {
    int text = 0, image = 0;
    for (const Shape& s : shapes) text = std::max(text, s.text), image = std::max(image, s.image);
    size = text + image;
    for (int g = 0; g < 2; ++g)
      for (size_t b = 0; b < shapes.size(); ++b) {
        const int keys = g ? shapes[b].image : shapes[b].text, wanted = g ? shapes[b].q_image : shapes[b].q_text;
        AttentionSequence& s = sequences[b];
        s.q_begin[g] = int32_t(q_rows), s.q_count[g] = wanted < 0 ? keys : wanted;
        s.k_begin[g] = int32_t(k_rows), s.k_count[g] = keys;
        s.k_position[g] = g ? text : 0;
        for (int i = 0; i < s.q_count[g]; ++i) position.push_back(s.k_position[g] + i);
        q_rows += s.q_count[g], k_rows += keys;
        if (g) max_q = std::max<int64_t>(max_q, s.q_count[0] + s.q_count[1]), max_k = std::max<int64_t>(max_k, s.k_count[0] + s.k_count[1]);
      }
    q = testing::rounded<T>(testing::normal_vector<float>(q_rows * ld, 1));
    k = testing::rounded<T>(testing::normal_vector<float>(k_rows * ld, 2));
    v = testing::rounded<T>(testing::normal_vector<float>(k_rows * ld, 3));
    dout = testing::rounded<T>(testing::normal_vector<float>(q_rows * ld, 4));
    bias = testing::normal_vector<float>(heads * size * size, 5);
  }
  template <class S>
  AttentionArgs<S> arguments(const AttentionSequence* sequence, const int32_t* at, const S* pq, const S* pk, const S* pv, const Real<S>* pb) const {
    AttentionArgs<S> a;
    a.sequences = int64_t(sequences.size()), a.sequence = sequence, a.q_position = at;
    a.heads = heads, a.head_dim = d, a.scale = Real<S>(float(1 / std::sqrt(double(d))));
    a.q = pq, a.k = pk, a.v = pv, a.ldq = a.ldk = a.ldv = ld;
    a.bias = with_bias ? pb : nullptr, a.bias_size = size, a.causal = causal, a.max_q = max_q, a.max_k = max_k;
    return a;
  }
};

struct Oracle {
  std::vector<double> out, lse, dq, dk, dv, dbias;
};
template <class T>
Oracle oracle(const Case<T>& c) {
  const auto q = testing::doubles(c.q), k = testing::doubles(c.k), v = testing::doubles(c.v), dout = testing::doubles(c.dout), bias = testing::doubles(c.bias);
  Oracle o;
  o.out.assign(q.size(), 0), o.lse.assign(c.q_rows * c.heads, 0), o.dq = o.out, o.dk.assign(k.size(), 0), o.dv = o.dk, o.dbias.assign(bias.size(), 0.5);
  const auto a = c.template arguments<double>(c.sequences.data(), c.position.data(), q.data(), k.data(), v.data(), bias.data());
  attention_forward<double>(cpu, a, o.out.data(), c.ld, o.lse.data());
  attention_backward<double>(cpu, a, o.out.data(), dout.data(), c.ld, o.lse.data(), o.dq.data(), o.dk.data(), o.dv.data(), c.with_bias ? o.dbias.data() : nullptr);
  return o;
}

template <class T>
struct Output {
  std::vector<T> out, dq, dk, dv;
  std::vector<float> lse, dbias;
};
template <class T>
float round_to(float x) {
  return to_float(from_float<T>(x));
}
template <class T>
Output<T> plain(const Case<T>& c) {
  const auto q = testing::widened(c.q), k = testing::widened(c.k), v = testing::widened(c.v), dout = testing::widened(c.dout);
  std::vector<float> out(q.size(), 0), dq(q.size(), 0), dk(k.size(), 0), dv(k.size(), 0);
  Output<T> o;
  o.lse.assign(c.q_rows * c.heads, 0), o.dbias.assign(c.bias.size(), 0.5f);
  const float scale = float(1 / std::sqrt(double(c.d)));
  for (const AttentionSequence& s : c.sequences)
    for (int64_t h = 0; h < c.heads; ++h) {
      std::vector<int64_t> qi, kj, kp;
      for (int g = 0; g < 2; ++g) {
        for (int i = 0; i < s.q_count[g]; ++i) qi.push_back(s.q_begin[g] + i);
        for (int j = 0; j < s.k_count[g]; ++j) kj.push_back(s.k_begin[g] + j), kp.push_back(s.k_position[g] + j);
      }
      const auto dot = [&](const std::vector<float>& x, int64_t i, const std::vector<float>& y, int64_t j) {
        float sum = 0;
        for (int64_t e = h * c.d; e < (h + 1) * c.d; ++e) sum += x[i * c.ld + e] * y[j * c.ld + e];
        return sum;
      };
      for (int64_t i : qi) {
        std::vector<float> score(kj.size(), -INFINITY);
        float top = -INFINITY, sum = 0;
        for (size_t j = 0; j < kj.size(); ++j) {
          if (c.causal && kp[j] > c.position[i]) continue;
          score[j] = dot(q, i, k, kj[j]) * scale + (c.with_bias ? c.bias[(h * c.size + c.position[i]) * c.size + kp[j]] : 0);
          top = std::max(top, score[j]);
        }
        if (top == -INFINITY) {
          o.lse[i * c.heads + h] = -INFINITY;
          continue;
        }
        for (float x : score) sum += std::exp(x - top);
        o.lse[i * c.heads + h] = top + std::log(sum);
        for (size_t j = 0; j < kj.size(); ++j)
          for (int64_t e = h * c.d; e < (h + 1) * c.d; ++e) out[i * c.ld + e] += round_to<T>(std::exp(score[j] - top)) * v[kj[j] * c.ld + e];
        for (int64_t e = h * c.d; e < (h + 1) * c.d; ++e) out[i * c.ld + e] = round_to<T>(out[i * c.ld + e] / sum);
        const float delta = dot(out, i, dout, i);
        for (size_t j = 0; j < kj.size(); ++j) {
          const float p = std::exp(score[j] - o.lse[i * c.heads + h]);
          const float ds = p * (dot(dout, i, v, kj[j]) - delta);
          if (c.with_bias) o.dbias[(h * c.size + c.position[i]) * c.size + kp[j]] += ds;
          for (int64_t e = h * c.d; e < (h + 1) * c.d; ++e) {
            dv[kj[j] * c.ld + e] += round_to<T>(p) * dout[i * c.ld + e];
            dq[i * c.ld + e] += round_to<T>(ds) * k[kj[j] * c.ld + e];
            dk[kj[j] * c.ld + e] += round_to<T>(ds) * q[i * c.ld + e];
          }
        }
      }
    }
  for (float& x : dq) x *= scale;
  for (float& x : dk) x *= scale;
  o.out = testing::rounded<T>(out), o.dq = testing::rounded<T>(dq), o.dk = testing::rounded<T>(dk), o.dv = testing::rounded<T>(dv);
  return o;
}

template <class T>
void compare(const Case<T>& c, const std::vector<simt::Architecture>& architectures) {
  const Oracle want = oracle(c);
  const Output<T> naive = plain(c);
  int last = -1;
  Output<T> first;
  testing::on_every_gpu(
      [&]<class Queue>(Queue& queue) {
        DeviceArray<AttentionSequence, Queue> sequences(queue, c.sequences);
        DeviceArray<int32_t, Queue> position(queue, c.position);
        DeviceArray<T, Queue> q(queue, c.q), k(queue, c.k), v(queue, c.v), dout(queue, c.dout);
        // Zeros, so that columns between the heads' and the row's end may be compared with the oracle's.
        DeviceArray<T, Queue> out(queue, std::vector<T>(c.q.size(), from_float<T>(0))), dq(queue, std::vector<T>(c.q.size(), from_float<T>(0)));
        DeviceArray<T, Queue> dk(queue, std::vector<T>(c.k.size(), from_float<T>(0))), dv(queue, std::vector<T>(c.k.size(), from_float<T>(0)));
        DeviceArray<float, Queue> bias(queue, c.bias), lse(queue, c.q_rows * c.heads), dbias(queue, std::vector<float>(c.bias.size(), 0.5f));
        const auto a = c.template arguments<T>(sequences.data(), position.data(), q.data(), k.data(), v.data(), bias.data());
        attention_forward<T>(queue, a, out.data(), c.ld, lse.data());
        attention_backward<T>(queue, a, out.data(), dout.data(), c.ld, lse.data(), dq.data(), dk.data(), dv.data(), c.with_bias ? dbias.data() : nullptr);
        const Output<T> got{out.read(), dq.read(), dk.read(), dv.read(), lse.read(), dbias.read()};
        EXPECT_TRUE(testing::as_exact_as(got.out, naive.out, want.out)) << "out";
        EXPECT_TRUE(testing::as_exact_as(got.lse, naive.lse, want.lse)) << "lse";
        if (c.max_k > 1) {  // with one key the scores' gradient is a difference of equal numbers
          EXPECT_TRUE(testing::as_exact_as(got.dq, naive.dq, want.dq)) << "dq";
          EXPECT_TRUE(testing::as_exact_as(got.dk, naive.dk, want.dk)) << "dk";
          EXPECT_TRUE(testing::as_exact_as(got.dbias, naive.dbias, want.dbias)) << "dbias";
        }
        EXPECT_TRUE(testing::as_exact_as(got.dv, naive.dv, want.dv)) << "dv";
        if (queue.compute_capability() != last) {
          last = queue.compute_capability();
          first = got;
        }
        // Whatever the schedule of threads, the same bits.
        EXPECT_EQ(testing::widened(got.out), testing::widened(first.out));
        EXPECT_EQ(testing::widened(got.dq), testing::widened(first.dq));
        EXPECT_EQ(testing::widened(got.dk), testing::widened(first.dk));
        EXPECT_EQ(testing::widened(got.dv), testing::widened(first.dv));
        EXPECT_EQ(got.dbias, first.dbias);
      },
      architectures);
}

void everywhere(const std::vector<Shape>& shapes, int64_t heads, int64_t d, bool bias, bool causal, int64_t spare = 0) {
  SCOPED_TRACE(::testing::Message() << shapes.size() << " sequences, the first of " << shapes[0].text << " + " << shapes[0].image << ", d " << d
                                    << (bias ? ", bias" : "") << (causal ? ", causal" : ""));
  using enum simt::Architecture;
  compare(Case<half>(shapes, heads, d, bias, causal, spare), {kVolta, kTuring, kAmpere});
  compare(Case<bf16>(shapes, heads, d, bias, causal, spare), {kAmpere});
  compare(Case<float>(shapes, heads, d, bias, causal, spare), {kAmpere});
}

TEST(AttentionGpu, LengthsAroundTheTiles) {
  for (const Shape s : {Shape{0, 1}, {1, 0}, {7, 8}, {5, 11}, {16, 1}, {13, 50}, {15, 49}, {30, 35}}) everywhere({s}, 1, 16, true, false);
}
TEST(AttentionGpu, SeveralSequences) { everywhere({{5, 17}, {9, 17}, {0, 17}, {12, 0}, {3, 17}, {9, 17}, {1, 1}, {2, 17}, {11, 3}}, 2, 32, true, false); }
TEST(AttentionGpu, OddHeadDimAndStride) { everywhere({{6, 12}, {3, 20}}, 2, 34, true, false, 3); }
TEST(AttentionGpu, HeadDim64) { everywhere({{10, 60}}, 1, 64, true, false); }
TEST(AttentionGpu, HeadDim128) { everywhere({{9, 40}}, 1, 128, true, false); }
TEST(AttentionGpu, CausalWithAndWithoutBias) {
  everywhere({{70, 0}, {33, 0}}, 1, 16, false, true);
  everywhere({{40, 0}}, 1, 16, true, true);
}
TEST(AttentionGpu, PrunedQueries) { everywhere({{9, 40, 3, 1}, {12, 40, 0, 1}, {7, 40, 2, 0}, {5, 40, 0, 0}}, 2, 16, true, false); }
TEST(AttentionGpu, WithoutBias) { everywhere({{4, 30}, {0, 2}}, 1, 64, false, false); }

TEST(AttentionGpu, NothingToDo) {
  simt::Queue queue;
  AttentionArgs<half> a;
  attention_forward<half>(queue, a, nullptr, 0, nullptr);
  attention_backward<half>(queue, a, nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
}

TEST(AttentionGpu, WhatAGpuCannotDoIsSaid) {
  simt::Queue turing({.architecture = simt::Architecture::kTuring});
  AttentionArgs<bf16> a;
  EXPECT_THROW(attention_forward<bf16>(turing, a, nullptr, 0, nullptr), std::runtime_error);
  simt::Queue queue;
  AttentionArgs<half> wide;
  wide.head_dim = 129;
  EXPECT_THROW(attention_forward<half>(queue, wide, nullptr, 0, nullptr), std::runtime_error);
}

}  // namespace
}  // namespace mome
