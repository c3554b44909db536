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
// Up to so many rows are used where they lie. Base's stride of 9 KB puts them into few cache sets.
constexpr int64_t kDirectRows = 64;

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

/// Rows of one head of a segment as an operand of multiply(): where they are, if a vector never
/// reaches beyond the head's columns and the rows are so few that a copy would cost more than the
/// cache conflicts of their long stride; else in scratch, dp columns wide.
template <class T>
struct Panel {
  T* data;
  int64_t ld;
  bool copy;
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
  int64_t block = std::min<int64_t>(kQueryBlock, std::max(s.q_count[0], s.q_count[1]));

  int64_t first_key(int g) const { return g ? s.k_count[0] : 0; }
  /// Number of keys of segment g that query row `row` sees: a prefix.
  int64_t visible(int64_t row, int g) const {
    if (!a.causal) return s.k_count[g];
    return std::clamp<int64_t>(int64_t{a.q_position[row]} - s.k_position[g] + 1, 0, s.k_count[g]);
  }
  /// Offset in a [H, M, M] matrix of query row `row` and the first key of segment g.
  int64_t bias_offset(int64_t row, int g) const {
    return (head * a.bias_size + a.q_position[row]) * a.bias_size + s.k_position[g];
  }
  /// Calls f(first row, rows) for blocks of queries; none spans both segments.
  template <class F>
  void each_query_block(F&& f) const {
    for (int g = 0; g < 2; ++g)
      for (int64_t i = 0; i < s.q_count[g]; i += block)
        f(s.q_begin[g] + i, std::min<int64_t>(block, s.q_count[g] - i));
  }

  Panel<T> panel(T* matrix, int64_t ld, int64_t row, int64_t count, T* scratch) const {
    if (d == dp && count <= kDirectRows) return {matrix + row * ld + head * d, ld, false};
    return {scratch, dp, true};
  }
  /// A panel that is read.
  Panel<T> load(const T* matrix, int64_t ld, int64_t row, int64_t count, T* scratch) const {
    Panel<T> p = panel(const_cast<T*>(matrix), ld, row, count, scratch);
    for (int64_t i = 0; p.copy && i < count; ++i) {
      std::copy_n(matrix + (row + i) * ld + head * d, d, scratch + i * dp);
      std::fill(scratch + i * dp + d, scratch + (i + 1) * dp, T(0));
    }
    return p;
  }
  /// Puts a written panel where it belongs.
  void finish(const Panel<T>& p, T* matrix, int64_t ld, int64_t row, int64_t count) const {
    for (int64_t i = 0; p.copy && i < count; ++i)
      std::copy_n(p.data + i * dp, d, matrix + (row + i) * ld + head * d);
  }
  Panel<T> load_keys(const T* matrix, int64_t ld, int g, T* scratch) const {
    return load(matrix, ld, s.k_begin[g], s.k_count[g], scratch + first_key(g) * dp);
  }
  /// The unit's rows of K or V as [d, kp], so that products with it vectorise over keys.
  void transpose_keys(const T* matrix, int64_t ld, T* transposed) const {
    auto row = [&](int64_t j) {
      const int g = j >= s.k_count[0];
      return matrix + (s.k_begin[g] + j - first_key(g)) * ld + head * d;
    };
    small_product::transpose(keys, d, row, transposed, kp);
  }
  /// C [n, d] = W [n, keys] times the key panels.
  void multiply_keys(int64_t n, const T* w, const Panel<T> (&panels)[2], const Panel<T>& c) const {
    for (int g = 0; g < 2; ++g)
      if (s.k_count[g] > 0 || g == 0)  // without any key: zeros
        multiply(n, dp, s.k_count[g], w + first_key(g), kp, 1, panels[g].data, panels[g].ld, g > 0,
                 c.data, c.ld);
  }
};

/// s = scale * s + bias over visible keys, -inf over all others and the padding, so that what
/// follows runs over whole vectors; returns the largest.
template <class T>
T finish_scores(const Unit<T>& u, int64_t row, T* s) {
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  const T scale = u.a.scale;
  for (int g = 0; g < 2; ++g) {
    T* x = s + u.first_key(g);
    const int64_t n = u.visible(row, g);
    if (n > 0 && u.a.bias) {
      const T* bias = u.a.bias + u.bias_offset(row, g);
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) x[j] = scale * x[j] + bias[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) x[j] *= scale;
    }
    std::fill(x + n, x + u.s.k_count[g], kNever);
  }
  std::fill(s + u.keys, s + u.kp, kNever);
  T largest = kNever;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < u.kp; ++j) largest = std::max(largest, s[j]);
  return largest;
}

/// s = exp(s - shift): 0 where a key is not seen.
template <class T>
void exponentials(int64_t kp, T shift, T* s) {
#pragma omp simd
  for (int64_t j = 0; j < kp; ++j) s[j] = fast_exp(s[j] - shift);
}

template <class T>
void forward_unit(const Unit<T>& u, T* out, int64_t ldo, T* lse) {
  if (u.queries == 0) return;
  const int64_t d = u.d, dp = u.dp, kp = u.kp;
  Scratch<T> scratch(u.keys * dp + d * kp + u.block * (kp + dp));
  T* v_copy = scratch.take(u.keys, dp);
  T* kt = scratch.take(d, kp);
  T* p = scratch.take(u.block, kp);
  T* o_copy = scratch.take(u.block, dp);
  u.transpose_keys(u.a.k, u.a.ldk, kt);
  const Panel<T> v[2] = {u.load_keys(u.a.v, u.a.ldv, 0, v_copy),
                         u.load_keys(u.a.v, u.a.ldv, 1, v_copy)};
  u.each_query_block([&](int64_t row, int64_t n) {
    multiply(n, kp, d, u.a.q + row * u.a.ldq + u.head * d, u.a.ldq, 1, kt, kp, false, p, kp);
    T inverse[kQueryBlock];
    for (int64_t i = 0; i < n; ++i) {
      const T largest = finish_scores(u, row + i, p + i * kp);
      // Nothing seen (or every score -inf): the sum is 0. NaN scores stay NaN.
      const bool none = largest == -std::numeric_limits<T>::infinity();
      exponentials(kp, none ? T(0) : largest, p + i * kp);
      const T sum = small_product::sum(kp, p + i * kp);
      inverse[i] = sum == T(0) ? T(0) : T(1) / sum;
      lse[(row + i) * u.a.heads + u.head] = sum == T(0) ? largest : largest + std::log(sum);
    }
    const Panel<T> o = u.panel(out, ldo, row, n, o_copy);
    u.multiply_keys(n, p, v, o);
    for (int64_t i = 0; i < n; ++i)
#pragma omp simd
      for (int64_t c = 0; c < d; ++c) o.data[i * o.ld + c] *= inverse[i];
    u.finish(o, out, ldo, row, n);
  });
}

/// From dP to scale * dS in place, and dS into dbias [H, M, M] unless that is null.
template <class T>
void score_gradients(const Unit<T>& u, int64_t row, T delta, const T* p, T* ds, T* dbias) {
#pragma omp simd
  for (int64_t j = 0; j < u.kp; ++j) ds[j] = p[j] * (ds[j] - delta);
  for (int g = 0; g < 2 && dbias; ++g) {
    const int64_t n = u.visible(row, g);
    if (n == 0) continue;
    const T* x = ds + u.first_key(g);
    T* to = dbias + u.bias_offset(row, g);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) to[j] += x[j];
  }
  const T scale = u.a.scale;
#pragma omp simd
  for (int64_t j = 0; j < u.kp; ++j) ds[j] *= scale;
}

template <class T>
void backward_unit(const Unit<T>& u, const T* out, const T* dout, int64_t ldo, const T* lse, T* dq,
                   T* dk, T* dv, T* dbias) {
  const int64_t d = u.d, dp = u.dp, kp = u.kp, ldq = u.a.ldq;
  Scratch<T> scratch(3 * u.keys * dp + 2 * d * kp + u.block * (2 * kp + 3 * dp));
  T* k_copy = scratch.take(u.keys, dp);
  T* dk_copy = scratch.take(u.keys, dp);
  T* dv_copy = scratch.take(u.keys, dp);
  T* kt = scratch.take(d, kp);
  T* vt = scratch.take(d, kp);
  T* p = scratch.take(u.block, kp);
  T* ds = scratch.take(u.block, kp);
  T* q_copy = scratch.take(u.block, dp);
  T* g_copy = scratch.take(u.block, dp);
  T* dq_copy = scratch.take(u.block, dp);
  u.transpose_keys(u.a.k, u.a.ldk, kt);
  u.transpose_keys(u.a.v, u.a.ldv, vt);
  const Panel<T> k[2] = {u.load_keys(u.a.k, u.a.ldk, 0, k_copy),
                         u.load_keys(u.a.k, u.a.ldk, 1, k_copy)};
  // Assigns (or adds, from the second block on) W^T B to the gradient's panel of segment s.
  auto add_to_keys = [&](bool add, int64_t n, const T* w, const Panel<T>& b, T* matrix, int64_t ld,
                         T* copy, int s) {
    const int64_t first = u.first_key(s);
    const Panel<T> sum = u.panel(matrix, ld, u.s.k_begin[s], u.s.k_count[s], copy + first * dp);
    multiply(u.s.k_count[s], dp, n, w + first, 1, kp, b.data, b.ld, add, sum.data, sum.ld);
    return sum;
  };
  bool add = false;
  u.each_query_block([&](int64_t row, int64_t n) {
    const Panel<T> q = u.load(u.a.q, ldq, row, n, q_copy);
    const Panel<T> g = u.load(dout, ldo, row, n, g_copy);
    multiply(n, kp, d, q.data, q.ld, 1, kt, kp, false, p, kp);
    multiply(n, kp, d, g.data, g.ld, 1, vt, kp, false, ds, kp);
    for (int64_t i = 0; i < n; ++i) {
      const T row_lse = lse[(row + i) * u.a.heads + u.head];
      if (row_lse == -std::numeric_limits<T>::infinity()) {
        std::fill_n(p + i * kp, kp, T(0));
        std::fill_n(ds + i * kp, kp, T(0));
        continue;
      }
      finish_scores(u, row + i, p + i * kp);
      exponentials(kp, row_lse, p + i * kp);
      const T *oi = out + (row + i) * ldo + u.head * d, *gi = g.data + i * g.ld;
      const T delta = fixed_sum<T>(d, [&](int64_t c) { return oi[c] * gi[c]; });  // sum_j P dP
      score_gradients(u, row + i, delta, p + i * kp, ds + i * kp, dbias);
    }
    for (int s = 0; s < 2; ++s) {
      add_to_keys(add, n, p, g, dv, u.a.ldv, dv_copy, s);
      add_to_keys(add, n, ds, q, dk, u.a.ldk, dk_copy, s);
    }
    add = true;
    const Panel<T> to = u.panel(dq, ldq, row, n, dq_copy);
    u.multiply_keys(n, ds, k, to);
    u.finish(to, dq, ldq, row, n);
  });
  for (int s = 0; s < 2; ++s) {
    const int64_t begin = u.s.k_begin[s], count = u.s.k_count[s];
    // Without queries k = 0 terms assign zeros; else 0 terms add nothing.
    u.finish(add_to_keys(add, 0, p, k[s], dv, u.a.ldv, dv_copy, s), dv, u.a.ldv, begin, count);
    u.finish(add_to_keys(add, 0, ds, k[s], dk, u.a.ldk, dk_copy, s), dk, u.a.ldk, begin, count);
  }
}

/// Sequences of a chunk share one sum of dbias. At most 8 chunks of at least 4 sequences: enough
/// units (8 H) for any machine, while the partial sums stay a small part of what is added to them.
int64_t dbias_grain(int64_t sequences) { return std::max<int64_t>(4, (sequences + 7) / 8); }

}  // namespace

template <class T, class Queue>
void attention_forward(Queue&, const AttentionArgs<T>& a, T* out, int64_t ldo, Real<T>* lse) {
  // Lengths differ, so threads take units as they come; each writes places of its own alone.
#pragma omp parallel for schedule(dynamic, 2)
  for (int64_t i = 0; i < a.sequences * a.heads; ++i)
    forward_unit(Unit<T>{a, a.sequence[i / a.heads], i % a.heads}, out, ldo, lse);
}

template <class T, class Queue>
void attention_backward(Queue&, const AttentionArgs<T>& a, const T* out, const T* dout, int64_t ldo,
                        const Real<T>* lse, T* dq, T* dk, T* dv, Real<T>* dbias) {
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

template void attention_forward<float>(Cpu&, const AttentionArgs<float>&, float*, int64_t, float*);
template void attention_forward<double>(Cpu&, const AttentionArgs<double>&, double*, int64_t, double*);
template void attention_backward<float>(Cpu&, const AttentionArgs<float>&, const float*, const float*,
                                        int64_t, const float*, float*, float*, float*, float*);
template void attention_backward<double>(Cpu&, const AttentionArgs<double>&, const double*, const double*,
                                         int64_t, const double*, double*, double*, double*,
                                         double*);

}  // namespace mome
