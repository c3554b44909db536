// Every synchronisation of every kernel is needed, and the tests would notice if it were gone: each __syncthreads, __syncwarp
// and wait for an asynchronous copy that a run passes is left out in turn, and under some schedule the result must change,
// become NaN, or be reported as a fault.
#include <gtest/gtest.h>

#include <functional>

#include "kernels/attention/attention.h"
#include "kernels/bias_gelu/bias_gelu.h"
#include "kernels/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/contrastive/contrastive.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/linear/linear.h"
#include "kernels/multinomial/multinomial.h"
#include "kernels/patch_embedding/patch_embedding.h"
#include "kernels/image/normalize.h"
#include "kernels/residual_norm/residual_norm.h"
#include "kernels/rows/rows.h"
#include "kernels/simt/fault.h"
#include "tests/kernels/gpu_testing.h"

namespace mome {
namespace {

using testing::DeviceArray;
using testing::normal_vector;
using Bytes = std::vector<unsigned char>;

template <class T>
using Array = DeviceArray<T, simt::Queue>;

template <class T>
void append(Bytes& to, const std::vector<T>& from) {
  const auto* p = reinterpret_cast<const unsigned char*>(from.data());
  to.insert(to.end(), p, p + from.size() * sizeof(T));
}

/// Runs an operation on the queue and returns the bytes of its results.
using Run = std::function<Bytes(simt::Queue&)>;

template <class T>
Run attention_run(int64_t d, int32_t tokens = 70) {
  return [d, tokens](simt::Queue& q) {
    constexpr int64_t kHeads = 1;
    std::vector<AttentionSequence> sequences(5);
    std::vector<int32_t> position;
    int32_t rows = 0;
    for (size_t b = 0; b < sequences.size(); ++b) {
      AttentionSequence& s = sequences[b];
      s = {};
      s.q_begin[1] = s.k_begin[1] = rows, s.q_count[1] = s.k_count[1] = int32_t(tokens + 3 * b);
      for (int32_t i = 0; i < s.q_count[1]; ++i) position.push_back(i);
      rows += s.q_count[1];
    }
    const int64_t n = rows * d, size = tokens + 20;
    Array<AttentionSequence> device_sequences(q, sequences);
    Array<int32_t> device_position(q, position);
    const auto matrix = [&](uint64_t stream) { return testing::rounded<T>(normal_vector<float>(n, stream)); };
    Array<T> qq(q, matrix(1)), k(q, matrix(2)), v(q, matrix(3)), dout(q, matrix(4)), out(q, n), dq(q, n), dk(q, n), dv(q, n);
    Array<float> bias(q, normal_vector<float>(size * size, 5)), lse(q, rows), dbias(q, std::vector<float>(size * size, 0));
    AttentionArgs<T> a;
    a.sequences = int64_t(sequences.size()), a.sequence = device_sequences.data(), a.q_position = device_position.data();
    a.heads = kHeads, a.head_dim = d, a.scale = 0.2f, a.q = qq.data(), a.k = k.data(), a.v = v.data(), a.ldq = a.ldk = a.ldv = d;
    a.bias = bias.data(), a.bias_size = size, a.max_q = a.max_k = tokens + 12;
    attention_forward<T>(q, a, out.data(), d, lse.data());
    attention_backward<T>(q, a, out.data(), dout.data(), d, lse.data(), dq.data(), dk.data(), dv.data(), dbias.data());
    Bytes bytes;
    append(bytes, out.read()), append(bytes, dq.read()), append(bytes, dk.read()), append(bytes, dv.read()), append(bytes, dbias.read());
    return bytes;
  };
}

Bytes norm_run(simt::Queue& q) {
  constexpr int64_t kRows = 37, kWidth = 64, n = kRows * kWidth;
  Array<half> h(q, testing::rounded<half>(normal_vector<float>(n, 1))), y(q, testing::rounded<half>(normal_vector<float>(n, 2)));
  Array<half> dn(q, testing::rounded<half>(normal_vector<float>(n, 3))), dx(q, n), dh(q, n);
  Array<float> gamma(q, normal_vector<float>(kWidth, 4)), mean(q, normal_vector<float>(kRows, 5)), rstd(q, normal_vector<float>(kRows, 6));
  const std::vector<float> zeros(kWidth, 0);
  Array<float> dg(q, zeros), dw(q, zeros), db(q, zeros);
  ResidualNorm<half> a;
  a.rows = kRows, a.width = kWidth, a.gamma = a.weight = a.bias = gamma.data(), a.eps = 1e-5f;
  residual_norm_backward<half>(q, a, h.data(), y.data(), mean.data(), rstd.data(), nullptr, dn.data(), dx.data(), dh.data(), dg.data(), dw.data(), db.data());
  Bytes bytes;
  append(bytes, dx.read()), append(bytes, dg.read()), append(bytes, dw.read()), append(bytes, db.read());
  return bytes;
}

Bytes linear_run(simt::Queue& q) {
  constexpr int64_t kRows = 75, kWidth = 40;
  Array<float> dy(q, normal_vector<float>(kRows * kWidth, 1)), db(q, std::vector<float>(kWidth, 0));
  column_sums<float>(q, kRows, kWidth, dy.data(), kWidth, db.data());
  Bytes bytes;
  append(bytes, db.read());
  return bytes;
}

Bytes losses_run(simt::Queue& q) {
  constexpr int64_t kRows = 9, kVocabulary = 700;
  Array<half> logits(q, testing::rounded<half>(normal_vector<float>(kRows * kVocabulary, 1, 3)));
  Array<int32_t> label(q, testing::integer_vector(kRows, kVocabulary, 2));
  Array<CrossEntropyResult> result(q, 1);
  cross_entropy<half>(q, kRows, kVocabulary, logits.data(), kVocabulary, label.data(), 0.1, nullptr, false, result.data());
  Array<float> x(q, normal_vector<float>(999, 3)), target(q, normal_vector<float>(999, 4));
  Array<double> sum(q, 1);
  squared_error<float>(q, 999, x.data(), target.data(), 0.5, nullptr, false, sum.data());
  // Two tiles of targets; the second holds none where the first holds some.
  Array<half> answers(q, testing::rounded<half>(normal_vector<float>(2 * 8192, 6, 3)));
  Array<int32_t> begin(q, std::vector<int32_t>{0, 3, 6}), answer(q, std::vector<int32_t>{5, 70, 4200, 9, 4000, 8191});
  Array<float> score(q, std::vector<float>{1, 0.3f, 0.6f, 0.9f, 1, 0.3f});
  Array<BinaryCrossEntropyResult> binary(q, 1);
  binary_cross_entropy<half>(q, 2, 8192, answers.data(), 8192, begin.data(), answer.data(), score.data(), 0.1, nullptr, false, binary.data());
  Array<float> s(q, normal_vector<float>(45 * 45, 5, 0.3)), scale(q, std::vector<float>{1.5f}), dscale(q, std::vector<float>{0});
  Array<ContrastiveResult> contrast(q, 1);
  Array<int32_t> negative(q, 45);
  draw_negatives<float>(q, 45, s.data(), 45, 1, scale.data(), nullptr, nullptr, 1, 2, 0, negative.data());
  contrastive_loss<float>(q, 45, s.data(), scale.data(), nullptr, nullptr, 1.0, nullptr, dscale.data(), contrast.data());
  Bytes bytes;
  append(bytes, logits.read()), append(bytes, result.read()), append(bytes, sum.read()), append(bytes, s.read()), append(bytes, contrast.read());
  append(bytes, negative.read()), append(bytes, dscale.read()), append(bytes, answers.read()), append(bytes, binary.read());
  return bytes;
}

Bytes rows_run(simt::Queue& q) {
  constexpr int64_t kWidth = 24;
  Array<float> x(q, normal_vector<float>(50 * kWidth, 1)), out(q, 2 * kWidth);
  Array<int32_t> begin(q, std::vector<int32_t>{0, 31}), count(q, std::vector<int32_t>{31, 19});
  segment_mean_forward<float>(q, 2, kWidth, begin.data(), count.data(), x.data(), out.data());
  std::vector<uint8_t> pixels(3 * 16 * 16 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = uint8_t(i * 37);
  Array<uint8_t> images(q, pixels);
  Array<half> patches(q, pixels.size());
  patches_from_images<half>(q, images.data(), 3, 16, 8, Normalization{}, patches.data());
  Bytes bytes;
  append(bytes, out.read()), append(bytes, patches.read());
  return bytes;
}

void every_synchronisation_counts(const Run& run, simt::Architecture architecture) {
  constexpr uint64_t kSchedules = 12;
  simt::Mutation record{.record = true};
  Bytes want;
  {
    simt::Queue q({.architecture = architecture, .seed = 1, .mutation = &record});
    want = run(q);
  }
  for (const simt::SyncSite& site : record.seen) {
    bool noticed = false;
    for (uint64_t seed = 1; seed <= kSchedules && !noticed; ++seed) {
      simt::Mutation skip{.skip = &site};
      try {
        simt::Queue q({.architecture = architecture, .seed = seed, .mutation = &skip});
        noticed = run(q) != want;
      } catch (const std::runtime_error&) {
        noticed = true;
      }
    }
    EXPECT_TRUE(noticed) << site.primitive << " at " << site.file << ":" << site.line << " can be left out: it is not needed, or not tested";
  }
}

using enum simt::Architecture;
TEST(Mutation, AttentionAsAmpere) { every_synchronisation_counts(attention_run<half>(16, 190), kAmpere); }  // three tiles of keys: both buffers are used again
TEST(Mutation, AttentionAsTuring) { every_synchronisation_counts(attention_run<half>(16), kTuring); }
TEST(Mutation, AttentionAsVolta) { every_synchronisation_counts(attention_run<half>(16), kVolta); }
TEST(Mutation, AttentionInFp32) { every_synchronisation_counts(attention_run<float>(16), kAmpere); }
TEST(Mutation, Norms) { every_synchronisation_counts(norm_run, kAmpere); }
TEST(Mutation, ColumnSums) { every_synchronisation_counts(linear_run, kAmpere); }
TEST(Mutation, Losses) { every_synchronisation_counts(losses_run, kAmpere); }
TEST(Mutation, RowsAndPatches) { every_synchronisation_counts(rows_run, kAmpere); }

}  // namespace
}  // namespace mome
