// Model, per element of s bytes: forward reads word and writes e, 2s (type and position stay in
// cache), 2 FLOPs; backward reads de once per wanted gradient and reads and writes each touched row
// of dword once, 3s at most for dword, 1 FLOP a gradient. Bound by memory; the sort of R indices
// (two or three counting passes) is small beside R * D elements.
#include <algorithm>
#include <array>
#include <cassert>
#include <vector>

#include "kernels/common/column_reduce.h"
#include "kernels/linear/linear.h"
#include "kernels/text_embedding/text_embedding.h"

namespace mome {
namespace {

/// table[key] += de[r] over the key's rows, in row order.
template <class T>
void scatter_add(const SortedRowsView& sorted, int64_t width, const T* de, T* table) {
  // A few keys ([CLS], [MASK]) own most rows. Who takes a key does not change its sum, so keys are
  // handed out as threads get free.
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t k = 0; k < sorted.keys; ++k) {
    T* to = table + sorted.key[k] * width;
    for (int32_t i = sorted.begin[k]; i < sorted.begin[k + 1]; ++i) add_row(width, de + sorted.row[i] * width, to);
  }
}

}  // namespace

// Least significant digit radix sort of 11-bit digits.
SortedRows sort_rows(const std::vector<int32_t>& key, int32_t skip) {
  constexpr int kBits = 11, kBuckets = 1 << kBits;
  SortedRows sorted;
  std::vector<int32_t>& order = sorted.row;
  int32_t largest = 0;
  for (size_t r = 0; r < key.size(); ++r) {
    assert(key[r] >= 0);
    if (key[r] == skip) continue;
    order.push_back(int32_t(r));
    largest = std::max(largest, key[r]);
  }
  std::vector<int32_t> swap(order.size());
  for (int shift = 0; shift < 32 && (largest >> shift) > 0; shift += kBits) {
    std::array<int32_t, kBuckets + 1> next{};
    for (int32_t r : order) ++next[((key[r] >> shift) & (kBuckets - 1)) + 1];
    for (int b = 0; b < kBuckets; ++b) next[b + 1] += next[b];
    for (int32_t r : order) swap[next[(key[r] >> shift) & (kBuckets - 1)]++] = r;
    order.swap(swap);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && key[order[i]] == key[order[i - 1]]) continue;
    sorted.key.push_back(key[order[i]]);
    sorted.begin.push_back(int32_t(i));
  }
  sorted.begin.push_back(int32_t(order.size()));
  return sorted;
}

template <class T, class Queue>
void text_embedding_forward(Queue&, int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                            const Real<T>* word, const Real<T>* type, const Real<T>* position, T* e) {
  parallel_chunks(rows, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      assert(token[r] >= 0);
      const T* w = word + token[r] * width;
      T* to = e + r * width;
      if (position) {
        assert(pos[r] >= 0);
        sum_row(width, w, type, position + pos[r] * width, to);
      } else {
        sum_row(width, w, type, to);
      }
    }
  });
}

template <class T, class Queue>
void text_embedding_backward(Queue&, int64_t rows, int64_t width, const SortedRowsView& tokens,
                             const SortedRowsView& positions, const T* de, Real<T>* dword, Real<T>* dtype,
                             Real<T>* dposition) {
  if (rows <= 0 || width <= 0) return;
  if (dword) scatter_add(tokens, width, de, dword);
  if (dtype) column_sums(cpu, rows, width, de, width, dtype);
  if (dposition) scatter_add(positions, width, de, dposition);
}

#define MOME_INSTANTIATE(T)                                                                       \
  template void text_embedding_forward<T>(Cpu&, int64_t, int64_t, const int32_t*, const int32_t*, \
                                          const T*, const T*, const T*, T*);                      \
  template void text_embedding_backward<T>(Cpu&, int64_t, int64_t, const SortedRowsView&,         \
                                           const SortedRowsView&, const T*, T*, T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
