#include "kernels/text_embedding/text_embedding.cuh"

#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/linear/linear.h"
#include "kernels/text_embedding/text_embedding.h"

namespace mome {

namespace {
constexpr int kThreads = 128, kWide = 4;  // packs of kWide: 16 bytes of the tables' floats
}

template <class T, class Queue>
void text_embedding_forward(Queue& queue, int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                            const Real<T>* word, const Real<T>* type, const Real<T>* position, T* e) {
  using namespace MOME_DEVICE;
  if (width <= 0) return;
  const auto kernel = packable<kWide>(width, word, type, position, e) ? text_embedding_forward_kernel<T, kWide>
                                                                      : text_embedding_forward_kernel<T, 1>;
  queue.launch("text_embedding_forward", kernel, Dim{blocks_of(rows, kThreads / 32)}, {kThreads}, 0, rows, width, token, pos, word,
               type, position, e);
}

template <class T, class Queue>
void text_embedding_backward(Queue& queue, int64_t rows, int64_t width, const SortedRowsView& tokens,
                             const SortedRowsView& positions, const T* de, Real<T>* dword, Real<T>* dtype,
                             Real<T>* dposition) {
  using namespace MOME_DEVICE;
  if (rows <= 0 || width <= 0) return;
  const auto scatter = [&](const SortedRowsView& s, float* table) {
    const bool packs = packable<kWide>(width, de, table);
    queue.launch("text_embedding_backward", packs ? text_embedding_backward_kernel<T, kWide> : text_embedding_backward_kernel<T, 1>,
                 Dim{blocks_of(s.keys, kThreads / 32), blocks_of(width, packs ? 32 * kWide : 32)}, {kThreads}, 0, s.keys, width, s.key,
                 s.begin, s.row, de, table);
  };
  if (dword) scatter(tokens, dword);
  if (dposition) scatter(positions, dposition);
  if (dtype) column_sums<T>(queue, rows, width, de, width, dtype);
}

#define MOME_INSTANCE(T)                                                                                                       \
  template void text_embedding_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const int32_t*, const int32_t*, const float*, \
                                          const float*, const float*, T*);                                                     \
  template void text_embedding_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const SortedRowsView&, const SortedRowsView&, \
                                           const T*, float*, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
