// BERT's embeddings before their LayerNorm: e[r] = word[token[r]] + type + position[pos[r]].
// (Devlin et al. 2019; VLMo Base and Large have no position term: pass position = null.)
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// word [V, D], type [D], position [T, D] or null, token/pos [R], e [R, D]. Tokens outside 0 … V-1
/// and positions outside 0 … T-1 are a caller's error (checked in debug builds).
template <class T, class Queue>
void text_embedding_forward(Queue& queue, int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                            const T* word, const T* type, const T* position, T* e);

/// Adds to dword, dtype, dposition (each may be null). Rows with the same token are summed in row
/// order (sorted segments, no atomics). padding token `pad` gets no gradient (-1: none).
template <class T, class Queue>
void text_embedding_backward(Queue& queue, int64_t rows, int64_t width, int64_t vocabulary, const int32_t* token,
                             const int32_t* pos, int32_t pad, const T* de, T* dword, T* dtype,
                             T* dposition);

}  // namespace mome
