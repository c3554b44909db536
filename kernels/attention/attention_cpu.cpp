// CPU form: the unit of work is one (sequence, head). Its keys and values are packed once (K^T so
// that scores vectorise over keys), then blocks of kQueryBlock queries make scores, softmax and
// output in cache; probabilities never reach memory, backward recomputes them from lse (Dao et al.
// 2022).
//
// Per unit of n queries, m keys: forward 4 n m d FLOPs and n m exponentials, backward 10 n m d and
// n m. Bytes: (2 n + 2 m) d forward, (4 n + 4 m) d backward, plus n m of bias and 2 n m of dbias.
// These products are not counted by gemm_count(): they never call the BLAS.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/small_product.h"
#include "kernels/common/fixed_sum.h"
#include "kernels/common/parallel.h"
#include "kernels/common/simd_math.h"

namespace mome {
namespace {
using small_product::multiply;
using small_product::padded;

// Queries a block: its scores of 1000 keys fill a quarter of a megabyte, within L2.
constexpr int64_t kQueryBlock = 64;

/// Memory of one thread, kept between calls; pieces are aligned to vectors.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t elements) {
    constexpr int64_t slack = 64 / sizeof(T);
    if (int64_t(memory().size()) < elements + slack) memory().resize(elements + slack);
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory().data());
    next_ = memory().data() + (64 - address % 64) % 64 / sizeof(T);
  }
  /// rows x stride elements; stride is padded().
  T* take(int64_t rows, int64_t stride) {
    T* piece = next_;
    next_ += rows * stride;
    return piece;
  }

 private:
  static std::vector<T>& memory() {
    static thread_local std::vector<T> m;
    return m;
  }
  T* next_;
};

/// One (sequence, head) and how to reach its rows.
template <class T>
struct Unit {
  const AttentionArgs<T>& a;
  const AttentionSequence& s;
  int64_t head;
  int64_t d = a.head_dim, dp = padded<T>(d);
  int64_t queries = int64_t{s.q_count[0]} + s.q_count[1];
  int64_t keys = int64_t{s.k_count[0]} + s.k_count[1];
  int64_t kp = padded<T>(keys);

  int64_t query_row(int64_t i) const {
    return i < s.q_count[0] ? s.q_begin[0] + i : s.q_begin[1] + i - s.q_count[0];
  }
  /// Calls f(row, first key of the segment, count, segment) for both key segments.
  template <class F>
  void each_segment(F&& f) const {
    for (int g = 0; g < 2; ++g)
      if (s.k_count[g] > 0) f(s.k_begin[g], g ? int64_t{s.k_count[0]} : 0, s.k_count[g], g);
  }
  /// Number of keys of segment g that query row `row` sees: a prefix.
  int64_t visible(int64_t row, int g) const {
    if (!a.causal) return s.k_count[g];
    return std::clamp<int64_t>(int64_t{a.q_position[row]} - s.k_position[g] + 1, 0, s.k_count[g]);
  }
  /// Offset in a [H, M, M] matrix of query row `row` and the first key of segment g.
  int64_t bias_offset(int64_t row, int g) const {
    return (head * a.bias_size + a.q_position[row]) * a.bias_size + s.k_position[g];
  }
};

/// Copies one row's d elements and fills up to dp with zeros.
template <class T>
inline void copy_row(int64_t d, int64_t dp, const T* from, T* to) {
  std::copy_n(from, d, to);
  std::fill(to + d, to + dp, T(0));
}

template <class T>
void pack_keys(const Unit<T>& u, const T* matrix, int64_t ld, T* packed) {
  u.each_segment([&](int64_t row, int64_t first, int64_t count, int) {
    for (int64_t j = 0; j < count; ++j)
      copy_row(u.d, u.dp, matrix + (row + j) * ld + u.head * u.d, packed + (first + j) * u.dp);
  });
}

/// From packed [keys, dp] to [d, kp], so that products with it vectorise over keys.
template <class T>
void transpose_keys(const Unit<T>& u, const T* packed, T* transposed) {
  small_product::transpose(u.keys, u.d, packed, u.dp, transposed, u.kp);
  for (int64_t c = 0; c < u.d; ++c)
    std::fill(transposed + c * u.kp + u.keys, transposed + (c + 1) * u.kp, T(0));
}

template <class T>
void pack_queries(const Unit<T>& u, int64_t i0, int64_t count, const T* matrix, int64_t ld,
                  T* packed) {
  for (int64_t i = 0; i < count; ++i)
    copy_row(u.d, u.dp, matrix + u.query_row(i0 + i) * ld + u.head * u.d, packed + i * u.dp);
}

/// s = scale * s + bias over visible keys; returns their largest.
template <class T>
T finish_scores(const Unit<T>& u, int64_t row, T* s) {
  T largest = -std::numeric_limits<T>::infinity();
  const T scale = u.a.scale;
  u.each_segment([&](int64_t, int64_t first, int64_t, int g) {
    T* x = s + first;
    const int64_t n = u.visible(row, g);
    if (u.a.bias && n > 0) {
      const T* bias = u.a.bias + u.bias_offset(row, g);
#pragma omp simd reduction(max : largest)
      for (int64_t j = 0; j < n; ++j) {
        x[j] = scale * x[j] + bias[j];
        largest = std::max(largest, x[j]);
      }
    } else {
#pragma omp simd reduction(max : largest)
      for (int64_t j = 0; j < n; ++j) {
        x[j] *= scale;
        largest = std::max(largest, x[j]);
      }
    }
  });
  return largest;
}

/// s = exp(s - shift) over visible keys, 0 over all others and the padding; returns the sum.
template <class T>
T exponentials(const Unit<T>& u, int64_t row, T shift, T* s) {
  T sum = 0;
  u.each_segment([&](int64_t, int64_t first, int64_t count, int g) {
    T* x = s + first;
    const int64_t n = u.visible(row, g);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) {
      x[j] = fast_exp(x[j] - shift);
      sum += x[j];
    }
    std::fill(x + n, x + count, T(0));
  });
  std::fill(s + u.keys, s + u.kp, T(0));
  return sum;
}

template <class T>
void forward_unit(const Unit<T>& u, T* out, int64_t ldo, T* lse) {
  if (u.queries == 0) return;
  const int64_t block = std::min(kQueryBlock, u.queries), d = u.d, dp = u.dp, kp = u.kp;
  Scratch<T> scratch(2 * u.keys * dp + d * kp + block * (kp + 2 * dp));
  T* k = scratch.take(u.keys, dp);
  T* v = scratch.take(u.keys, dp);
  T* kt = scratch.take(d, kp);
  T* p = scratch.take(block, kp);
  T* q = scratch.take(block, dp);
  T* o = scratch.take(block, dp);
  pack_keys(u, u.a.k, u.a.ldk, k);
  pack_keys(u, u.a.v, u.a.ldv, v);
  transpose_keys(u, k, kt);
  for (int64_t i0 = 0; i0 < u.queries; i0 += block) {
    const int64_t n = std::min(block, u.queries - i0);
    pack_queries(u, i0, n, u.a.q, u.a.ldq, q);
    multiply(n, kp, d, q, dp, 1, kt, kp, false, p, kp);
    T inverse[kQueryBlock];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = u.query_row(i0 + i);
      T& row_lse = lse[row * u.a.heads + u.head];
      const T largest = finish_scores(u, row, p + i * kp);
      // Nothing seen (or every score -inf): the sum is 0. NaN scores stay NaN.
      const bool none = largest == -std::numeric_limits<T>::infinity();
      const T sum = exponentials(u, row, none ? T(0) : largest, p + i * kp);
      inverse[i] = sum == T(0) ? T(0) : T(1) / sum;
      row_lse = sum == T(0) ? largest : largest + std::log(sum);
    }
    multiply(n, dp, u.keys, p, kp, 1, v, dp, false, o, dp);
    for (int64_t i = 0; i < n; ++i) {
      T* to = out + u.query_row(i0 + i) * ldo + u.head * d;
      for (int64_t c = 0; c < d; ++c) to[c] = o[i * dp + c] * inverse[i];
    }
  }
}

/// Writes scale * packed[i] to key rows of a gradient.
template <class T>
void unpack_keys(const Unit<T>& u, T scale, const T* packed, T* matrix, int64_t ld) {
  u.each_segment([&](int64_t row, int64_t first, int64_t count, int) {
    for (int64_t j = 0; j < count; ++j) {
      T* to = matrix + (row + j) * ld + u.head * u.d;
      for (int64_t c = 0; c < u.d; ++c) to[c] = scale * packed[(first + j) * u.dp + c];
    }
  });
}

/// dbias: the head's [M, M] (first of [H, M, M] shifted so that bias_offset() applies), or null.
template <class T>
void backward_unit(const Unit<T>& u, const T* out, const T* dout, int64_t ldo, const T* lse, T* dq,
                   T* dk, T* dv, T* dbias) {
  const int64_t block = std::min(kQueryBlock, u.queries), d = u.d, dp = u.dp, kp = u.kp;
  Scratch<T> scratch(4 * u.keys * dp + 2 * d * kp + block * (2 * kp + 3 * dp));
  T* k = scratch.take(u.keys, dp);
  T* v = scratch.take(u.keys, dp);
  T* dk_sum = scratch.take(u.keys, dp);
  T* dv_sum = scratch.take(u.keys, dp);
  T* kt = scratch.take(d, kp);
  T* vt = scratch.take(d, kp);
  T* p = scratch.take(block, kp);
  T* ds = scratch.take(block, kp);
  T* q = scratch.take(block, dp);
  T* g = scratch.take(block, dp);  // dO
  T* o = scratch.take(block, dp);  // dQ
  if (u.queries > 0) {
    pack_keys(u, u.a.k, u.a.ldk, k);
    pack_keys(u, u.a.v, u.a.ldv, v);
    transpose_keys(u, k, kt);
    transpose_keys(u, v, vt);
  } else {
    std::fill_n(dk_sum, u.keys * dp, T(0));
    std::fill_n(dv_sum, u.keys * dp, T(0));
  }
  for (int64_t i0 = 0; i0 < u.queries; i0 += block) {
    const int64_t n = std::min(block, u.queries - i0);
    pack_queries(u, i0, n, u.a.q, u.a.ldq, q);
    pack_queries(u, i0, n, dout, ldo, g);
    multiply(n, kp, d, q, dp, 1, kt, kp, false, p, kp);
    multiply(n, kp, d, g, dp, 1, vt, kp, false, ds, kp);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = u.query_row(i0 + i);
      const T row_lse = lse[row * u.a.heads + u.head];
      T *pi = p + i * kp, *dsi = ds + i * kp;
      if (row_lse == -std::numeric_limits<T>::infinity()) {
        std::fill_n(pi, kp, T(0));
        std::fill_n(dsi, kp, T(0));
        continue;
      }
      finish_scores(u, row, pi);
      exponentials(u, row, row_lse, pi);
      const T *oi = out + row * ldo + u.head * d, *gi = g + i * dp;
      const T delta = fixed_sum<T>(d, [&](int64_t c) { return oi[c] * gi[c]; });  // sum_j P dP
#pragma omp simd
      for (int64_t j = 0; j < kp; ++j) dsi[j] = pi[j] * (dsi[j] - delta);
      if (dbias)
        u.each_segment([&](int64_t, int64_t first, int64_t, int s) {
          const int64_t seen = u.visible(row, s);
          if (seen == 0) return;
          T* to = dbias + u.bias_offset(row, s);
#pragma omp simd
          for (int64_t j = 0; j < seen; ++j) to[j] += dsi[first + j];
        });
    }
    const bool add = i0 > 0;
    multiply(u.keys, dp, n, p, 1, kp, g, dp, add, dv_sum, dp);
    multiply(u.keys, dp, n, ds, 1, kp, q, dp, add, dk_sum, dp);
    multiply(n, dp, u.keys, ds, kp, 1, k, dp, false, o, dp);
    for (int64_t i = 0; i < n; ++i) {
      T* to = dq + u.query_row(i0 + i) * u.a.ldq + u.head * d;
      for (int64_t c = 0; c < d; ++c) to[c] = u.a.scale * o[i * dp + c];
    }
  }
  unpack_keys(u, u.a.scale, dk_sum, dk, u.a.ldk);
  unpack_keys(u, T(1), dv_sum, dv, u.a.ldv);
}

/// Sequences of a chunk share one sum of dbias. At most 8 chunks of at least 4 sequences: enough
/// units (8 H) for any machine, while the partial sums stay a small part of what is added to them.
int64_t dbias_grain(int64_t sequences) { return std::max<int64_t>(4, (sequences + 7) / 8); }

}  // namespace

template <class T>
void attention_forward(const AttentionArgs<T>& a, T* out, int64_t ldo, T* lse) {
  // Lengths differ, so threads take units as they come; each writes places of its own alone.
#pragma omp parallel for schedule(dynamic, 2)
  for (int64_t i = 0; i < a.sequences * a.heads; ++i)
    forward_unit(Unit<T>{a, a.sequence[i / a.heads], i % a.heads}, out, ldo, lse);
}

template <class T>
void attention_backward(const AttentionArgs<T>& a, const T* out, const T* dout, int64_t ldo,
                        const T* lse, T* dq, T* dk, T* dv, T* dbias) {
  const int64_t grain = dbias ? dbias_grain(a.sequences) : 1;
  const int64_t chunks = chunk_count(a.sequences, grain);
  const int64_t size = a.heads * a.bias_size * a.bias_size;
  // Chunk 0 adds to dbias itself, the others to sums of their own, which follow in chunk order.
  static thread_local std::vector<T> partial_memory;
  if (dbias && chunks > 1 && int64_t(partial_memory.size()) < size * (chunks - 1))
    partial_memory.resize(size * (chunks - 1));
  T* partial = partial_memory.data();
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < chunks * a.heads; ++i) {
    const int64_t chunk = i / a.heads, head = i % a.heads;
    T* sum = dbias && chunk ? partial + (chunk - 1) * size : dbias;
    if (dbias && chunk)
      std::fill_n(sum + head * a.bias_size * a.bias_size, a.bias_size * a.bias_size, T(0));
    const int64_t end = std::min(a.sequences, (chunk + 1) * grain);
    for (int64_t s = chunk * grain; s < end; ++s)
      backward_unit(Unit<T>{a, a.sequence[s], head}, out, dout, ldo, lse, dq, dk, dv, sum);
  }
  if (!dbias || chunks < 2) return;
  parallel_chunks(size, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c + 1 < chunks; ++c)
      for (int64_t j = begin; j < end; ++j) dbias[j] += partial[c * size + j];
  });
}

template void attention_forward<float>(const AttentionArgs<float>&, float*, int64_t, float*);
template void attention_forward<double>(const AttentionArgs<double>&, double*, int64_t, double*);
template void attention_backward<float>(const AttentionArgs<float>&, const float*, const float*,
                                        int64_t, const float*, float*, float*, float*, float*);
template void attention_backward<double>(const AttentionArgs<double>&, const double*, const double*,
                                         int64_t, const double*, double*, double*, double*,
                                         double*);

}  // namespace mome
