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

/// Indices 0 … rows-1 ordered by key, equal keys in index order: least significant digit radix sort
/// of 11-bit digits.
void stable_order(int64_t rows, const int32_t* key, std::vector<int32_t>* order,
                  std::vector<int32_t>* swap) {
  constexpr int kBits = 11, kBuckets = 1 << kBits;
  order->resize(rows);
  swap->resize(rows);
  int32_t largest = 0;
  for (int64_t r = 0; r < rows; ++r) {
    (*order)[r] = int32_t(r);
    largest = std::max(largest, key[r]);
  }
  for (int shift = 0; shift < 32 && (largest >> shift) > 0; shift += kBits) {
    std::array<int32_t, kBuckets + 1> next{};
    for (int64_t r = 0; r < rows; ++r) ++next[((key[r] >> shift) & (kBuckets - 1)) + 1];
    for (int b = 0; b < kBuckets; ++b) next[b + 1] += next[b];
    for (int32_t r : *order) (*swap)[next[(key[r] >> shift) & (kBuckets - 1)]++] = r;
    order->swap(*swap);
  }
}

/// table[k] += de[r] over the rows with key[r] == k, in row order, k != skip.
template <class T>
void scatter_add(int64_t rows, int64_t width, const int32_t* key, int32_t skip, const T* de,
                 T* table) {
  static thread_local std::vector<int32_t> order_scratch, swap_scratch, begin_scratch;
  stable_order(rows, key, &order_scratch, &swap_scratch);
  begin_scratch.clear();
  for (int64_t i = 0; i < rows; ++i)
    if (i == 0 || key[order_scratch[i]] != key[order_scratch[i - 1]])
      begin_scratch.push_back(int32_t(i));
  const int64_t distinct = int64_t(begin_scratch.size());
  begin_scratch.push_back(int32_t(rows));
  // The workers have scratch of their own by these names: they get the caller's by pointer.
  const int32_t *order = order_scratch.data(), *begin = begin_scratch.data();
  // A few keys ([CLS], [MASK]) own most rows. Who takes a key does not change its sum, so keys are
  // handed out as threads get free.
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t k = 0; k < distinct; ++k) {
    const int32_t row = key[order[begin[k]]];
    if (row == skip) continue;
    T* to = table + row * width;
    for (int32_t i = begin[k]; i < begin[k + 1]; ++i) add_row(width, de + order[i] * width, to);
  }
}

}  // namespace

template <class T, class Queue>
void text_embedding_forward(Queue&, int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                            const T* word, const T* type, const T* position, T* e) {
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
void text_embedding_backward(Queue&, int64_t rows, int64_t width, [[maybe_unused]] int64_t vocabulary,
                             const int32_t* token, const int32_t* pos, int32_t pad, const T* de,
                             T* dword, T* dtype, T* dposition) {
  if (rows <= 0 || width <= 0) return;
  assert(std::all_of(token, token + rows, [&](int32_t t) { return t >= 0 && t < vocabulary; }));
  if (dword) scatter_add(rows, width, token, pad, de, dword);
  if (dtype) column_sums(cpu, rows, width, de, width, dtype);
  if (dposition) scatter_add(rows, width, pos, int32_t{-1}, de, dposition);
}

#define MOME_INSTANTIATE(T)                                                                 \
  template void text_embedding_forward<T>(Cpu&, int64_t, int64_t, const int32_t*, const int32_t*, \
                                          const T*, const T*, const T*, T*);                \
  template void text_embedding_backward<T>(Cpu&, int64_t, int64_t, int64_t, const int32_t*,       \
                                           const int32_t*, int32_t, const T*, T*, T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
