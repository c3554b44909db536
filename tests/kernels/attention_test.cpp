#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include "tests/kernels/kernel_testing.h"

namespace mome {
namespace {
using testing::error_of;
using testing::normal_vector;

/// What a sequence of a test consists of; queries are `q_text` of the text's first tokens (all if <
/// 0), likewise of the image's.
struct Shape {
  int text, image;
  int q_text = -1, q_image = -1;
};

/// A packed batch as the model lays it out: all texts' rows, then all images' rows, with unused
/// rows between and columns beyond the heads' so that a write to a wrong place shows.
struct Batch {
  std::vector<AttentionSequence> sequences;
  std::vector<int32_t> q_position;
  int64_t q_rows = 0, k_rows = 0, heads, d, ldq, ldk, ldv, ldo, bias_size;
  double scale;
  bool with_bias, causal;
  std::vector<double> q, k, v, bias, dout;

  Batch(const std::vector<Shape>& shapes, int64_t heads, int64_t d, bool with_bias, bool causal)
      : sequences(shapes.size()), heads(heads), d(d), with_bias(with_bias), causal(causal) {
    ldq = heads * d + 3, ldk = heads * d + 5, ldv = heads * d + 1, ldo = heads * d + 2;
    scale = 1 / std::sqrt(double(d));
    int longest_text = 0, longest_image = 0;
    for (const Shape& s : shapes)
      longest_text = std::max(longest_text, s.text),
      longest_image = std::max(longest_image, s.image);
    bias_size = longest_text + longest_image + 1;
    for (int g = 0; g < 2; ++g)
      for (size_t b = 0; b < shapes.size(); ++b) {
        const int keys = g ? shapes[b].image : shapes[b].text;
        const int wanted = g ? shapes[b].q_image : shapes[b].q_text;
        AttentionSequence& s = sequences[b];
        s.q_begin[g] = int32_t(q_rows), s.q_count[g] = wanted < 0 ? keys : wanted;
        s.k_begin[g] = int32_t(k_rows), s.k_count[g] = keys;
        s.k_position[g] = g ? longest_text : 0;
        for (int i = 0; i < s.q_count[g]; ++i) q_position.push_back(s.k_position[g] + i);
        q_position.push_back(0);  // the unused row
        q_rows += s.q_count[g] + 1, k_rows += keys + 1;
      }
    q = normal_vector<double>(q_rows * ldq, 1);
    k = normal_vector<double>(k_rows * ldk, 2);
    v = normal_vector<double>(k_rows * ldv, 3);
    dout = normal_vector<double>(q_rows * ldo, 4);
    if (with_bias) bias = normal_vector<double>(heads * bias_size * bias_size, 5);
  }
};

template <class T>
struct Result {
  std::vector<T> out, lse, dq, dk, dv, dbias;
  std::vector<T> all() const { return testing::joined(out, lse, dq, dk, dv, dbias); }
};

// A mark; small, as errors are measured against the largest element.
constexpr double kUntouched = 0x1.8p-10;
constexpr double kEarlier = 0x1p-7;  // what dbias holds before

/// The results' initial state: what is assigned is marked, dbias holds an earlier sum.
template <class T>
Result<T> blank(const Batch& b) {
  Result<T> r;
  r.out.assign(b.q_rows * b.ldo, T(kUntouched));
  r.lse.assign(b.q_rows * b.heads, T(kUntouched));
  r.dq.assign(b.q_rows * b.ldq, T(kUntouched));
  r.dk.assign(b.k_rows * b.ldk, T(kUntouched));
  r.dv.assign(b.k_rows * b.ldv, T(kUntouched));
  r.dbias.assign(b.bias.size(), T(kEarlier));
  return r;
}

template <class T>
Result<T> run(const Batch& b) {
  const auto q = testing::cast<T>(b.q), k = testing::cast<T>(b.k), v = testing::cast<T>(b.v),
             bias = testing::cast<T>(b.bias), dout = testing::cast<T>(b.dout);
  AttentionArgs<T> a;
  a.sequences = int64_t(b.sequences.size()), a.sequence = b.sequences.data();
  a.q_position = b.with_bias || b.causal ? b.q_position.data() : nullptr;
  a.heads = b.heads, a.head_dim = b.d, a.scale = T(b.scale);
  a.q = q.data(), a.ldq = b.ldq, a.k = k.data(), a.ldk = b.ldk, a.v = v.data(), a.ldv = b.ldv;
  a.bias = b.with_bias ? bias.data() : nullptr, a.bias_size = b.bias_size, a.causal = b.causal;
  Result<T> r = blank<T>(b);
  attention_forward(cpu, a, r.out.data(), b.ldo, r.lse.data());
  attention_backward(cpu, a, r.out.data(), dout.data(), b.ldo, r.lse.data(), r.dq.data(), r.dk.data(),
                     r.dv.data(), b.with_bias ? r.dbias.data() : nullptr);
  return r;
}

/// The definition, token by token, in T: in double the oracle, in float the straightforward form
/// that the kernel's error is measured by. Gradients by the chain rule written out over explicit P.
template <class T>
Result<T> naive(const Batch& b) {
  Result<T> r = blank<T>(b);
  for (const AttentionSequence& s : b.sequences)
    for (int64_t h = 0; h < b.heads; ++h) {
      std::vector<int64_t> qi, kj, kpos;
      for (int g = 0; g < 2; ++g) {
        for (int i = 0; i < s.q_count[g]; ++i) qi.push_back(s.q_begin[g] + i);
        for (int j = 0; j < s.k_count[g]; ++j)
          kj.push_back(s.k_begin[g] + j), kpos.push_back(s.k_position[g] + j);
      }
      for (int64_t j : kj)
        for (int64_t c = h * b.d; c < (h + 1) * b.d; ++c)
          r.dk[j * b.ldk + c] = r.dv[j * b.ldv + c] = 0;
      for (int64_t i : qi) {
        std::vector<T> score(kj.size(), -INFINITY), dp(kj.size());
        T largest = -INFINITY, sum = 0;
        for (size_t j = 0; j < kj.size(); ++j) {
          if (b.causal && kpos[j] > b.q_position[i]) continue;
          T dot = 0;
          for (int64_t c = h * b.d; c < (h + 1) * b.d; ++c)
            dot += T(b.q[i * b.ldq + c]) * T(b.k[kj[j] * b.ldk + c]);
          score[j] = T(b.scale) * dot;
          if (b.with_bias)
            score[j] += T(b.bias[(h * b.bias_size + b.q_position[i]) * b.bias_size + kpos[j]]);
          largest = std::max(largest, score[j]);
        }
        for (T x : score) sum += x == T(-INFINITY) ? T(0) : std::exp(x - largest);
        r.lse[i * b.heads + h] = sum == 0 ? T(-INFINITY) : largest + std::log(sum);
        T mean = 0;
        std::vector<T> p(kj.size(), 0);
        for (size_t j = 0; j < kj.size(); ++j) {
          if (score[j] != T(-INFINITY)) p[j] = std::exp(score[j] - largest) / sum;
          dp[j] = 0;
          for (int64_t c = h * b.d; c < (h + 1) * b.d; ++c)
            dp[j] += T(b.dout[i * b.ldo + c]) * T(b.v[kj[j] * b.ldv + c]);
          mean += p[j] * dp[j];
        }
        for (int64_t c = h * b.d; c < (h + 1) * b.d; ++c) {
          T o = 0, dq = 0;
          for (size_t j = 0; j < kj.size(); ++j) {
            const T ds = p[j] * (dp[j] - mean);
            o += p[j] * T(b.v[kj[j] * b.ldv + c]);
            dq += T(b.scale) * ds * T(b.k[kj[j] * b.ldk + c]);
            r.dk[kj[j] * b.ldk + c] += T(b.scale) * ds * T(b.q[i * b.ldq + c]);
            r.dv[kj[j] * b.ldv + c] += p[j] * T(b.dout[i * b.ldo + c]);
          }
          r.out[i * b.ldo + c] = o, r.dq[i * b.ldq + c] = dq;
        }
        if (b.with_bias)
          for (size_t j = 0; j < kj.size(); ++j)
            r.dbias[(h * b.bias_size + b.q_position[i]) * b.bias_size + kpos[j]] +=
                p[j] * (dp[j] - mean);
      }
    }
  return r;
}

// Text alone, image alone, both, nothing, one token; odd and prime lengths; pruned queries (a class
// token, none at all, a few of both); more sequences than one chunk of dbias.
const std::vector<Shape> kMixed = {{7, 0},        {0, 17},        {12, 37}, {0, 0},
                                   {1, 0},        {0, 1},         {31, 10}, {5, 17, 1, 0},
                                   {9, 5, 0, 0},  {11, 37, 3, 2}, {2, 3},   {40, 37, 0, 1},
                                   {13, 0, 1, 0}, {0, 37, 0, 1}};
// Longer than a block of queries.
const std::vector<Shape> kLong = {{40, 97}, {61, 140, 61, 77}, {3, 0}};

struct Setting {
  const std::vector<Shape>* shapes;
  int64_t heads, d;
  bool bias, causal;
};

class Attention : public ::testing::TestWithParam<Setting> {
 protected:
  Batch batch() const {
    const Setting& s = GetParam();
    return Batch(*s.shapes, s.heads, s.d, s.bias, s.causal);
  }
};

TEST_P(Attention, DoubleEqualsOracle) {
  const Batch b = batch();
  const Result<double> got = run<double>(b), want = naive<double>(b);
  // Unused rows and columns are compared too: they must keep their mark.
  EXPECT_TRUE(testing::close_to(got.out, want.out, 1e-14));
  EXPECT_TRUE(testing::close_to(got.lse, want.lse, 1e-14));
  EXPECT_TRUE(testing::close_to(got.dq, want.dq, 1e-14));
  EXPECT_TRUE(testing::close_to(got.dk, want.dk, 1e-14));
  EXPECT_TRUE(testing::close_to(got.dv, want.dv, 1e-14));
  EXPECT_TRUE(testing::close_to(got.dbias, want.dbias, 1e-14));
}

TEST_P(Attention, FloatErrsNoMoreThanTwiceThePlainForm) {
  const Batch b = batch();
  const Result<float> got = run<float>(b), plain = naive<float>(b);
  const Result<double> want = naive<double>(b);
  EXPECT_TRUE(testing::within_twice(got.out, plain.out, want.out));
  EXPECT_TRUE(testing::within_twice(got.lse, plain.lse, want.lse));
  EXPECT_TRUE(testing::within_twice(got.dq, plain.dq, want.dq));
  EXPECT_TRUE(testing::within_twice(got.dk, plain.dk, want.dk));
  EXPECT_TRUE(testing::within_twice(got.dv, plain.dv, want.dv));
  EXPECT_TRUE(testing::within_twice(got.dbias, plain.dbias, want.dbias));
}

TEST_P(Attention, SameBitsForAnyNumberOfThreads) {
  const Batch b = batch();
  EXPECT_TRUE(testing::same_for_any_threads([&] { return run<float>(b).all(); }));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Attention,
    ::testing::Values(Setting{&kMixed, 3, 64, true, false}, Setting{&kMixed, 2, 34, false, false},
                      Setting{&kMixed, 1, 5, true, true}, Setting{&kMixed, 2, 16, false, true},
                      Setting{&kLong, 2, 64, true, false}, Setting{&kLong, 1, 34, true, true}));

TEST(AttentionGradient, MatchesFiniteDifferences) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);  // thousands of tiny calls: threads would only wait for one another
  for (bool causal : {false, true}) {
    Batch b({{3, 0}, {0, 5}, {4, 5, 1, 2}}, 2, 3, true, causal);
    const Result<double> r = run<double>(b);
    const std::vector<double> weights = [&] {  // dout on rows that exist, 0 on the unused
      std::vector<double> w(b.dout.size(), 0);
      for (size_t i = 0; i < w.size(); ++i)
        if (r.out[i] != kUntouched) w[i] = b.dout[i];
      return w;
    }();
    auto check = [&](std::vector<double> Batch::*input, std::vector<double> gradient,
                     double start) {
      for (double& g : gradient) g = start == 0 && g == kUntouched ? 0 : g - start;
      Batch moved = b;
      return testing::gradient_matches(
          [&](const std::vector<double>& x) {
            moved.*input = x;
            return testing::weighted_sum(run<double>(moved).out, weights);
          },
          b.*input, gradient, 1e-9, 100);
    };
    EXPECT_TRUE(check(&Batch::q, r.dq, 0));
    EXPECT_TRUE(check(&Batch::k, r.dk, 0));
    EXPECT_TRUE(check(&Batch::v, r.dv, 0));
    EXPECT_TRUE(check(&Batch::bias, r.dbias, kEarlier));
  }
  omp_set_num_threads(threads);
}

TEST(AttentionEdges, NoSequencesTouchNothing) {
  const Batch b({}, 2, 8, true, false);
  const Result<float> r = run<float>(b);
  EXPECT_EQ(r.dbias, std::vector<float>(2, float(kEarlier)));
}

TEST(AttentionEdges, QueryWithoutKeysIsZeroWithoutNan) {
  Batch b({{3, 4}}, 1, 8, true, true);
  // Image keys stand after all text queries; take the text keys away and the text sees nothing.
  b.sequences[0].k_count[0] = 0;
  const Result<float> r = run<float>(b);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(r.lse[i], -INFINITY);
    for (int c = 0; c < 8; ++c) {
      EXPECT_EQ(r.out[i * b.ldo + c], 0);
      EXPECT_EQ(r.dq[i * b.ldq + c], 0);
    }
  }
  const Result<double> want = naive<double>(b);
  EXPECT_LT(error_of(r.dk, want.dk).rel, 1e-6);
  EXPECT_LT(error_of(r.dbias, want.dbias).rel, 1e-6);
}

TEST(AttentionEdges, HugeScoresDoNotOverflowAndNanIsNotHidden) {
  Batch b({{0, 9}}, 1, 8, false, false);
  for (double& x : b.q) x *= 1e4;
  const Result<double> want = naive<double>(b);
  EXPECT_LT(error_of(run<float>(b).out, want.out).rel, 1e-3);  // scores of 1e4 have ulps of 1e-3
  for (double& x : b.q) x = NAN;
  const Result<float> r = run<float>(b);
  EXPECT_TRUE(std::isnan(r.lse[1]));  // row 0 is the empty text's unused row
  EXPECT_TRUE(std::isnan(r.out[b.ldo]));
}

}  // namespace
}  // namespace mome
