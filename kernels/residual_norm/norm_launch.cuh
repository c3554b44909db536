// Launches of the norm kernels, for residual_norm and for layer_norm (no residual).
#pragma once
#include "kernels/arch/queue.cuh"
#include "kernels/common/column_sum.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/residual_norm/residual_norm.cuh"

namespace mome::MOME_DEVICE {

template <class T>
void launch_norm_forward(Queue& queue, const char* name, const ResidualNorm<T>& a, const T* x, const T* h, T* y, T* n, float* mean, float* rstd) {
  if (a.width == 0) return;
  const Dim grid{blocks_of(a.rows, kNormWarps)}, block{kNormThreads};
  constexpr int N = kPack<T>;
  if (a.width > 32 * kHeld)
    queue.launch(name, norm_forward_long_kernel<T>, grid, block, 0, a, x, h, y, n, mean, rstd);
  else if (packable<N>(a.width, x, h, y, n))
    queue.launch(name, norm_forward_kernel<T, N>, grid, block, 0, a, x, h, y, n, mean, rstd);
  else
    queue.launch(name, norm_forward_kernel<T, 1>, grid, block, 0, a, x, h, y, n, mean, rstd);
}

template <class T>
void launch_norm_backward(Queue& queue, const char* name, const ResidualNorm<T>& a, const T* h, const T* y, const float* mean, const float* rstd, const T* dy,
                          const T* dn, T* dx, bool accumulate, T* dh, float* dgamma, float* dweight, float* dbias) {
  if (a.rows == 0 || a.width == 0) return;
  const int width = int(a.width);
  // Chunks of rows, a block each: as many as keep the largest GPU busy, of at least 16 rows.
  const int64_t chunk = a.rows > 16 * 264 ? (a.rows + 263) / 264 : 16;
  const unsigned chunks = blocks_of(a.rows, chunk);
  NormPartials partials;
  int kinds = 0;
  if (dgamma) partials.gamma = width * kinds++;
  if (dweight) partials.weight = width * kinds++;
  if (dbias) partials.bias = width * kinds++;
  partials.stride = int64_t(kinds) * width;
  if (kinds) partials.rows = static_cast<float*>(queue.workspace(size_t(chunks) * size_t(partials.stride) * sizeof(float)));
  constexpr int N = kPack<T>;
  if (width > 32 * kHeld) {
    queue.launch(name, norm_backward_long_kernel<T>, Dim{blocks_of(a.rows, kNormWarps)}, Dim{kNormThreads}, 0, a, y, mean, rstd, dy, dn, dx, accumulate, dh);
    if (kinds)
      queue.launch(name, norm_columns_kernel<T>, Dim{chunks, blocks_of(width, 128)}, Dim{128}, 0, a, chunk, h, y, mean, rstd, static_cast<const T*>(dx), dn, partials);
  } else if (packable<N>(a.width, h, y, dy, dn, dx, dh)) {
    queue.launch(name, norm_backward_kernel<T, N>, Dim{chunks}, Dim{kNormThreads}, size_t(kNormWarps * kinds * norm_slots(width, N) * 32) * sizeof(float), a,
                 chunk, h, y, mean, rstd, dy, dn, dx, accumulate, dh, partials);
  } else {
    queue.launch(name, norm_backward_kernel<T, 1>, Dim{chunks}, Dim{kNormThreads}, size_t(kNormWarps * kinds * norm_slots(width, 1) * 32) * sizeof(float), a,
                 chunk, h, y, mean, rstd, dy, dn, dx, accumulate, dh, partials);
  }
  const auto finish = [&](int offset, float* sums) {
    if (sums)
      queue.launch("norm_gradients", add_norm_partials_kernel, Dim{blocks_of(width, kSumThreads)}, Dim{kSumThreads}, 0, int(chunks), width,
                   static_cast<const float*>(partials.rows + offset), partials.stride, sums);
  };
  finish(partials.gamma, dgamma);
  finish(partials.weight, dweight);
  finish(partials.bias, dbias);
}

}  // namespace mome::MOME_DEVICE
