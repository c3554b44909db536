// Model, per element of s bytes: forward reads proj and writes x, 2s (the small tables stay in
// cache), 2 FLOPs; backward reads dx and writes dproj, 2s, 1 to 2 FLOPs. Bound by memory.
//
// Backward walks positions, not images: the sum over the batch at one position is that position's
// gradient, and the gradients of type and cls are sums of those.
#include <algorithm>

#include "kernels/common/column_reduce.h"
#include "kernels/patch_embedding/patch_embedding.h"

namespace mome {

template <class T, class Queue>
void patch_embedding_forward(Queue&, int64_t batch, int64_t patches, int64_t width, const T* proj,
                             const uint8_t* masked, const Real<T>* mask_token, const Real<T>* cls,
                             const Real<T>* position, const Real<T>* type, T* x) {
  const int64_t tokens = patches + 1;
  parallel_chunks(batch * tokens, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t b = r / tokens, t = r % tokens, patch = b * patches + t - 1;
      const T* from = t == 0 ? cls : masked && masked[patch] ? mask_token : proj + patch * width;
      T* to = x + r * width;
      if (position)
        sum_row(width, from, position + t * width, type, to);
      else
        sum_row(width, from, type, to);
    }
  });
}

template <class T, class Queue>
void patch_embedding_backward(Queue&, int64_t batch, int64_t patches, int64_t width,
                              const uint8_t* masked, const T* dx, T* dproj, Real<T>* dmask_token,
                              Real<T>* dcls, Real<T>* dposition, Real<T>* dtype) {
  const int64_t tokens = patches + 1;
  if (batch <= 0) return;
  // Three vectors a chunk: the sums for type and mask token, and room for one position's sum.
  T* const sums[] = {dtype, masked ? dmask_token : nullptr, nullptr};
  const int64_t grain = std::max<int64_t>(1, (tokens + 63) / 64);
  const bool sum_positions = dtype || dcls || dposition;
  reduce_rows(tokens, grain, width, 3, sums, [&](int64_t begin, int64_t end, T* partial) {
    T *type_sum = partial, *mask_sum = partial + width, *at_position = partial + 2 * width;
    for (int64_t t = begin; t < end; ++t) {
      std::fill(at_position, at_position + width, T(0));
      for (int64_t b = 0; b < batch; ++b) {
        const T* from = dx + (b * tokens + t) * width;
        if (sum_positions) add_row(width, from, at_position);
        if (t == 0) continue;
        const int64_t patch = b * patches + t - 1;
        const bool hidden = masked && masked[patch];
        if (hidden && dmask_token) add_row(width, from, mask_sum);
        if (!dproj) continue;
        T* to = dproj + patch * width;
        if (hidden)
          std::fill(to, to + width, T(0));
        else
          std::copy(from, from + width, to);
      }
      if (dtype) add_row(width, at_position, type_sum);
      if (dposition) add_row(width, at_position, dposition + t * width);
      if (dcls && t == 0) add_row(width, at_position, dcls);
    }
  });
}

#define MOME_INSTANTIATE(T)                                                                        \
  template void patch_embedding_forward<T>(Cpu&, int64_t, int64_t, int64_t, const T*,              \
                                           const uint8_t*, const T*, const T*, const T*, const T*, \
                                           T*);                                                    \
  template void patch_embedding_backward<T>(Cpu&, int64_t, int64_t, int64_t, const uint8_t*,       \
                                            const T*, T*, T*, T*, T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
