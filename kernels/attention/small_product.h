// Products of the small matrices that one attention head consists of (7 … 1000 rows, 34 … 64
// columns). A BLAS call costs as much as the product itself at these sizes and may choose its
// summation order by thread count; this one has no set-up, always sums k in ascending order, and
// reads A with any strides, so that one routine serves Q K^T, P V, dS K, and the transposed dS^T Q
// and P^T dO.
//
// Method: a register tile of kTileRows x 2 vectors of C; per step of k it loads two vectors of B
// and broadcasts kTileRows elements of A (Goto & van de Geijn 2008, without the packing of A: it
// fits L2).
#pragma once
#include <cstdint>
#include <utility>

namespace mome::small_product {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64, kTileRows = 8;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32, kTileRows = 4;
#else
inline constexpr int kVectorBytes = 16, kTileRows = 4;
#endif

template <class T>
inline constexpr int kLanes = kVectorBytes / int(sizeof(T));

/// A vector of the machine's width (compiler extension of GCC and Clang; any processor).
template <class T>
using Vector [[gnu::vector_size(kVectorBytes)]] = T;
/// The same in memory, at any address.
template <class T>
struct Memory {
  typedef T type __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};

template <class T>
inline typename Memory<T>::type load(const T* p) {
  return *reinterpret_cast<const typename Memory<T>::type*>(p);
}
template <class T, class V>
inline void store(T* p, V v) {
  *reinterpret_cast<typename Memory<T>::type*>(p) = v;
}

/// n rounded up to whole vectors.
template <class T>
constexpr int64_t padded(int64_t n) {
  return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

/// One tile of R rows x V vectors.
template <class T, int R, int V>
inline void tile(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb,
                 bool add, T* c, int64_t ldc) {
  using Vec = typename Memory<T>::type;
  Vec acc[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[i][v] = add ? load(c + i * ldc + v * kLanes<T>) : Vec{};
  for (int64_t p = 0; p < k; ++p) {
    Vec bv[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) bv[v] = load(b + p * ldb + v * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const T s = a[i * a_row + p * a_col];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[i][v] += s * bv[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + i * ldc + v * kLanes<T>, acc[i][v]);
}

/// R rows of C, all columns.
template <class T, int R>
void rows(int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb,
          bool add, T* c, int64_t ldc) {
  int64_t j = 0;
  for (; j + 2 * kLanes<T> <= n; j += 2 * kLanes<T>)
    tile<T, R, 2>(k, a, a_row, a_col, b + j, ldb, add, c + j, ldc);
  if (j < n) tile<T, R, 1>(k, a, a_row, a_col, b + j, ldb, add, c + j, ldc);
}

/// C[m, n] = (add ? C : 0) + A[m, k] B[k, n]. n, ldb and ldc are padded(): columns beyond the real
/// ones are computed too. A's element (i, p) is a[i * a_row + p * a_col].
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
              int64_t ldb, bool add, T* c, int64_t ldc) {
  int64_t i = 0;
  for (; i + kTileRows <= m; i += kTileRows)
    rows<T, kTileRows>(n, k, a + i * a_row, a_row, a_col, b, ldb, add, c + i * ldc, ldc);
  [&]<int... R>(std::integer_sequence<int, R...>) {
    ((m - i == R + 1
          ? rows<T, R + 1>(n, k, a + i * a_row, a_row, a_col, b, ldb, add, c + i * ldc, ldc)
          : void()),
     ...);
  }
  (std::make_integer_sequence<int, kTileRows - 1>{});
}

/// Sum of n numbers, n padded().
template <class T>
T sum(int64_t n, const T* x) {
  typename Memory<T>::type total = {};
  for (int64_t j = 0; j < n; j += kLanes<T>) total += load(x + j);
  T result = 0;
  for (int l = 0; l < kLanes<T>; ++l) result += total[l];
  return result;
}

/// Columns c … c + kLanes - 1 of kLanes rows (null: zeros), transposed in registers (Eklundh: rows
/// and columns are exchanged bit by bit of their index).
template <class T>
inline void transpose_block(const T* const* row, int64_t c, T* t, int64_t ldt) {
  constexpr int L = kLanes<T>;
  using Vec = typename Memory<T>::type;
  Vec r[L];
  for (int i = 0; i < L; ++i) r[i] = row[i] ? load(row[i] + c) : Vec{};
  auto exchange = [&]<int S, int... I>(std::integer_sequence<int, S>,
                                       std::integer_sequence<int, I...>) {
    for (int i = 0; i < L; ++i) {
      if (i & S) continue;
      const Vec x = r[i], y = r[i + S];
      r[i] = __builtin_shufflevector(x, y, ((I & S) ? L + I - S : I)...);
      r[i + S] = __builtin_shufflevector(x, y, ((I & S) ? L + I : I + S)...);
    }
  };
  constexpr auto lanes = std::make_integer_sequence<int, L>{};
  exchange(std::integer_sequence<int, 1>{}, lanes);
  if constexpr (L > 2) exchange(std::integer_sequence<int, 2>{}, lanes);
  if constexpr (L > 4) exchange(std::integer_sequence<int, 4>{}, lanes);
  if constexpr (L > 8) exchange(std::integer_sequence<int, 8>{}, lanes);
  for (int i = 0; i < L; ++i) store(t + (c + i) * ldt, r[i]);
}

/// t[c, j] = row(j)[c] for d columns and n rows, zeros from n to padded(n). row(j) is a pointer.
template <class T, class Row>
void transpose(int64_t n, int64_t d, Row&& row, T* t, int64_t ldt) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t j = 0; j < n; j += L) {
    const T* rows[L];
    for (int64_t l = 0; l < L; ++l) rows[l] = j + l < n ? row(j + l) : nullptr;
    int64_t c = 0;
    for (; c + L <= d; c += L) transpose_block(rows, c, t + j, ldt);
    for (; c < d; ++c)
      for (int64_t l = 0; l < L; ++l) t[c * ldt + j + l] = rows[l] ? rows[l][c] : T(0);
  }
}

}  // namespace mome::small_product
