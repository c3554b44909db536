// BERT's embeddings before their LayerNorm: e[r] = word[token[r]] + type + position[pos[r]].
// (Devlin et al. 2019; VLMo Base and Large have no position term: pass position = null.)
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/common/queue.h"

namespace mome {

/// word [V, D], type [D], position [T, D] or null, token/pos [R], e [R, D]. Tokens outside 0 … V-1
/// and positions outside 0 … T-1 are a caller's error (checked in debug builds).
template <class T, class Queue>
void text_embedding_forward(Queue& queue, int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                            const Real<T>* word, const Real<T>* type, const Real<T>* position, T* e);

/// Rows ordered by key, equal keys in row order, on the host: the rows of key[k] are row[begin[k]] …
/// row[begin[k+1]-1]; keys ascend and are distinct, begin [keys + 1]. Rows whose key is `skip` are left out.
struct SortedRows {
  std::vector<int32_t> key, begin, row;
};
SortedRows sort_rows(const std::vector<int32_t>& key, int32_t skip = -1);

/// The same as a queue's device has it.
struct SortedRowsView {
  int64_t keys = 0;
  const int32_t *key = nullptr, *begin = nullptr, *row = nullptr;
};

/// Adds to dword, dtype, dposition (each may be null). `tokens` and `positions` are the rows sorted by token
/// (without the padding token: it gets no gradient) and by position; each key's rows are summed in row order
/// (no atomics). A view is not read where its gradient is not wanted.
template <class T, class Queue>
void text_embedding_backward(Queue& queue, int64_t rows, int64_t width, const SortedRowsView& tokens,
                             const SortedRowsView& positions, const T* de, Real<T>* dword, Real<T>* dtype,
                             Real<T>* dposition);

}  // namespace mome
