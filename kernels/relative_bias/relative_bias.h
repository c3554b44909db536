// The relative position bias of VLMo: one table [A, H*L] for the whole network; layer l, head h
// reads column l*H + h. Index tables as in the official code (multiway BEiT scheme; specs in
// README).
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/common/queue.h"

namespace mome {

/// Which table row serves query i and key j, positions being text 0 … text-1 and then image tokens
/// (class token first) text … text+P. Row map for a grid of w x w patches (G = (2w-1)^2, n = G + 3,
/// T0 = 196): see README "relative positions"; rows = n + 2*T0 + 2. With text = 0 or grid = 0 that
/// part is absent (M = text + (grid ? grid^2 + 1 : 0)). text <= 196, else std::invalid_argument.
struct RelativeIndex {
  int64_t size = 0;            // M
  int64_t table_rows = 0;      // A
  std::vector<int32_t> index;  // [M, M]
  // Inverse map for the deterministic gradient: entries of row r are
  // inverse[begin[r]] … inverse[begin[r+1]-1], each a position i*M+j, ascending.
  std::vector<int32_t> begin, inverse;
};
/// `grid` is the patch grid's side; table_grid the side that the table's rows are made for (they
/// are the same unless grid = 0: a text-only layout of a model that has images).
RelativeIndex make_relative_index(int64_t text, int64_t grid, int64_t table_grid);

/// The same as a queue's device has it.
struct RelativeIndexView {
  int64_t size = 0, table_rows = 0;
  const int32_t *index = nullptr, *begin = nullptr, *inverse = nullptr;
};
/// Of the vectors themselves: for the CPU.
inline RelativeIndexView view(const RelativeIndex& r) {
  return {r.size, r.table_rows, r.index.data(), r.begin.data(), r.inverse.data()};
}

// Table, bias and their gradients are Real of the computation's dtype: instances double and float,
// on GPUs float.

/// bias[h, i, j] = table[index[i,j], column + h]; table [A, ld], bias [H, M, M]. Reads the view's
/// index.
template <class T, class Queue>
void relative_bias_forward(Queue& queue, const RelativeIndexView& index, const T* table, int64_t ld,
                           int64_t column, int64_t heads, T* bias);

/// dtable[index[i,j], column + h] += dbias[h, i, j], summed in an order that only the index fixes:
/// deterministic. Reads the view's begin and inverse.
template <class T, class Queue>
void relative_bias_backward(Queue& queue, const RelativeIndexView& index, const T* dbias,
                            int64_t heads, T* dtable, int64_t ld, int64_t column);

}  // namespace mome
