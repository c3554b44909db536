// LayerNorm, alone or behind a residual branch (kernels/residual_norm), on the GPU. A warp owns a
// row and holds it in registers (up to 1,024 elements; longer rows are read again from L2), so that
// memory sees each operand once.
//
// Forward of R x D elements of s bytes: LayerNorm 2 s, 8 FLOPs an element; with the branch 4 s, 11
// FLOPs. Backward: LayerNorm 3 s (4 s if it accumulates), 16 FLOPs; with the branch 6 s, 22 FLOPs.
// Parameter gradients are summed in the same visit: each warp of a block adds its rows of the
// block's chunk in shared memory, the warps are added in order into one partial row a chunk, and a
// second kernel adds the chunks in fixed order. Chunks follow from R alone. All are bound by
// memory.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kHeld = 32;          // floats of a row that a lane holds
inline constexpr int kTile = 32 * kHeld;  // elements that a warp holds
inline constexpr int kNormWarps = 4;      // of a block
inline constexpr int kNormSums = 3;       // gradients of weight, bias, gamma

/// Most chunks: enough blocks for the largest GPU, few enough that the partial rows are a small
/// part of the traffic.
inline int64_t norm_chunk(int64_t rows) { return rows > 16 * 512 ? (rows + 511) / 512 : 16; }

/// y = x + row_scale * gamma * h, n = LayerNorm(y), taken of y as it is stored. h null: y = x. y
/// null: not stored. weight null: no norm. gamma, row_scale null: 1.
template <class T>
struct NormForward {
  int64_t rows;
  int width;
  const float *gamma, *row_scale, *weight, *bias;
  float eps;
  const T *x, *h;
  T *y, *n;
  float *mean, *rstd;
};

/// g = dy + LayerNormBackward(dn) at y, dx = g, dh = g * row_scale * gamma. dy, dn, dh null:
/// absent.
template <class T>
struct NormBackward {
  int64_t rows;
  int width;
  const float *gamma, *row_scale, *weight;
  const T *h, *y;
  const float *mean, *rstd;
  const T *dy, *dn;
  T *dx, *dh;
  bool sum_norm, sum_gamma;  // which partial sums are wanted
  int64_t chunk;             // rows a block
  float* partials;           // [chunks, kNormSums, D]
};

/// N floats in accesses of at most 16 bytes.
template <int N>
__device__ __forceinline__ void load_floats(const float* p, float (&v)[N]) {
  constexpr int M = N < 4 ? N : 4;
#pragma unroll
  for (int j = 0; j < N; j += M) {
    const Pack<float, M> q = load_pack<M>(p + j);
#pragma unroll
    for (int k = 0; k < M; ++k) v[j + k] = q[k];
  }
}

/// A lane's elements of the row's tile at `base`: packs lane, lane + 32, ….
template <class T, int N>
__device__ __forceinline__ void load_tile(const T* row, int base, int width, float (&held)[kHeld]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = base + (i * 32 + lane) * N;
    if (c >= width) break;
    const Pack<T, N> p = load_pack<N>(row + c);
#pragma unroll
    for (int j = 0; j < N; ++j) held[i * N + j] = to_float(p[j]);
  }
}

/// A tile of x + scale * gamma * h, rounded to T and stored if y is not null.
template <class T, int N>
__device__ __forceinline__ void add_branch(const NormForward<T>& a, int64_t at, int base,
                                           float scale, float (&held)[kHeld]) {
  const int lane = threadIdx.x % 32;
  load_tile<T, N>(a.x + at, base, a.width, held);
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = base + (i * 32 + lane) * N;
    if (c >= a.width) break;
    if (scale != 0) {  // a dropped row does not read h
      const Pack<T, N> h = load_pack<N>(a.h + at + c);
      float gamma[N];
      if (a.gamma) load_floats<N>(a.gamma + c, gamma);
#pragma unroll
      for (int j = 0; j < N; ++j)
        held[i * N + j] += (a.gamma ? scale * gamma[j] : scale) * to_float(h[j]);
    }
    if (!a.y) continue;
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      out[j] = from_float<T>(held[i * N + j]);
      held[i * N + j] = to_float(out[j]);
    }
    store_pack<N>(a.y + at + c, out);
  }
}

/// A warp a row. kHold: the row is one tile. Grid: blocks of kNormWarps rows.
template <class T, int N, bool kHold>
__global__ void __launch_bounds__(32 * kNormWarps, 5) norm_forward_kernel(NormForward<T> a) {
  const int lane = threadIdx.x % 32, width = a.width;
  const int64_t row = int64_t(blockIdx.x) * kNormWarps + threadIdx.x / 32;
  if (row >= a.rows) return;
  const int64_t at = row * width;
  const int end = kHold ? 1 : width;
  const float scale = !a.h ? 0.0f : a.row_scale ? load(a.row_scale + row) : 1.0f;
  float held[kHeld], sum = 0, square = 0;
  for (int base = 0; base < end; base += kTile) {
    add_branch<T, N>(a, at, base, scale, held);
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (base + (i / N * 32 + lane) * N < width) sum += held[i];
  }
  if (!a.weight) return;
  const T* again = (a.y ? a.y : a.x) + at;
  const float mu = warp_sum(sum) / float(width);
  for (int base = 0; base < end; base += kTile) {
    if constexpr (!kHold) load_tile<T, N>(again, base, width, held);
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (base + (i / N * 32 + lane) * N < width) square += (held[i] - mu) * (held[i] - mu);
  }
  const float r = rsqrtf(warp_sum(square) / float(width) + a.eps);
  for (int base = 0; base < end; base += kTile) {
    if constexpr (!kHold) load_tile<T, N>(again, base, width, held);
#pragma unroll
    for (int i = 0; i < kHeld / N; ++i) {
      const int c = base + (i * 32 + lane) * N;
      if (c >= width) break;
      float w[N], b[N];
      load_floats<N>(a.weight + c, w);
      load_floats<N>(a.bias + c, b);
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = from_float<T>((held[i * N + j] - mu) * r * w[j] + b[j]);
      store_pack<N>(a.n + at + c, out);
    }
  }
  if (lane == 0) store(a.mean + row, mu), store(a.rstd + row, r);
}

/// Where a lane adds up its columns' sums: in the warp's shared memory, slot after slot (no bank
/// conflicts), or, for rows of several tiles, in the chunk's partial row itself.
template <int N, bool kHold>
struct NormSums {
  float* own;  // shared: [kNormSums, slots, 32]; else the partial row [kNormSums, D]
  int stride;  // from sum to sum

  __device__ __forceinline__ void add(int sum, int slot, int column, float v) const {
    if constexpr (kHold) {
      own[sum * stride + slot * 32 + threadIdx.x % 32] += v;
    } else {
      float* p = own + sum * stride + column;
      store(p, load(p) + v);
    }
  }
};

/// xhat and dn * weight of a tile; adds to their means and to the gradients of weight and bias.
template <class T, int N, bool kHold, bool kAdd>
__device__ __forceinline__ void norm_tile(const NormBackward<T>& a, int64_t at, int base, float mu,
                                          float r, NormSums<N, kHold> sums, float (&xhat)[kHeld],
                                          float (&g)[kHeld], float& plain, float& cross) {
  const int lane = threadIdx.x % 32;
  load_tile<T, N>(a.y + at, base, a.width, xhat);
  load_tile<T, N>(a.dn + at, base, a.width, g);
#pragma unroll
  for (int i = 0; i < kHeld / N; ++i) {
    const int c = base + (i * 32 + lane) * N;
    if (c >= a.width) break;
    float w[N];
    load_floats<N>(a.weight + c, w);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const int s = i * N + j;
      xhat[s] = (xhat[s] - mu) * r;
      if (kAdd && a.sum_norm) {
        sums.add(0, s, c + j, g[s] * xhat[s]);
        sums.add(1, s, c + j, g[s]);
      }
      g[s] *= w[j];
      if (kAdd) plain += g[s], cross += g[s] * xhat[s];
    }
  }
}

template <class T, int N, bool kHold>
__device__ __forceinline__ void norm_backward_row(const NormBackward<T>& a, int64_t row,
                                                  NormSums<N, kHold> sums) {
  const int lane = threadIdx.x % 32, width = a.width, end = kHold ? 1 : width;
  const int64_t at = row * width;
  const float scale = a.row_scale ? load(a.row_scale + row) : 1.0f;
  float xhat[kHeld], g[kHeld], plain = 0, cross = 0, mu = 0, r = 0;
  if (a.dn) {
    mu = load(a.mean + row), r = load(a.rstd + row);
    for (int base = 0; base < end; base += kTile)
      norm_tile<T, N, kHold, true>(a, at, base, mu, r, sums, xhat, g, plain, cross);
    plain = warp_sum(plain) / float(width), cross = warp_sum(cross) / float(width);
  }
  for (int base = 0; base < end; base += kTile) {
    if constexpr (!kHold)
      if (a.dn) norm_tile<T, N, kHold, false>(a, at, base, mu, r, sums, xhat, g, plain, cross);
#pragma unroll
    for (int i = 0; i < kHeld / N; ++i) {
      const int c = base + (i * 32 + lane) * N;
      if (c >= width) break;
      float d[N];
#pragma unroll
      for (int j = 0; j < N; ++j)
        d[j] = a.dn ? r * (g[i * N + j] - plain - xhat[i * N + j] * cross) : 0.0f;
      Pack<T, N> out;
      if (a.dy) {
        const Pack<T, N> dy = load_pack<N>(a.dy + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) d[j] += to_float(dy[j]);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) out[j] = from_float<T>(d[j]);
      store_pack<N>(a.dx + at + c, out);
      if (a.sum_gamma && scale != 0) {
        const Pack<T, N> h = load_pack<N>(a.h + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) sums.add(2, i * N + j, c + j, d[j] * (scale * to_float(h[j])));
      }
      if (!a.dh) continue;
      float gamma[N];
      if (a.gamma) load_floats<N>(a.gamma + c, gamma);
#pragma unroll
      for (int j = 0; j < N; ++j)
        out[j] = from_float<T>(scale == 0 ? 0.0f : d[j] * (a.gamma ? scale * gamma[j] : scale));
      store_pack<N>(a.dh + at + c, out);
    }
  }
}

/// A block a chunk of rows. kHold: kNormWarps warps and, with sums, kNormWarps * kNormSums * slots
/// * 32 floats of shared memory, where slots = N * ceil(D / 32 N). Else one warp.
template <class T, int N, bool kHold>
__global__ void __launch_bounds__(32 * kNormWarps) norm_backward_kernel(NormBackward<T> a) {
  const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t first = blockIdx.x * a.chunk,
                last = first + a.chunk < a.rows ? first + a.chunk : a.rows;
  const bool summed = a.sum_norm || a.sum_gamma;
  float* partial = a.partials + int64_t(blockIdx.x) * kNormSums * a.width;
  if constexpr (kHold) {
    const int stride = (a.width + 32 * N - 1) / (32 * N) * N * 32, all = kNormSums * stride;
    float* shared = dynamic_shared<float>();
    if (summed)
      for (int i = lane; i < all; i += 32)
        shared[warp * all + i] = 0;  // a lane adds to what it cleared itself
    const NormSums<N, kHold> sums{shared + warp * all, stride};
    for (int64_t row = first + warp; row < last; row += warps)
      norm_backward_row<T, N, kHold>(a, row, sums);
    if (!summed) return;
    __syncthreads();
    for (int i = threadIdx.x; i < all; i += blockDim.x) {
      float v = 0;
      for (int w = 0; w < warps; ++w) v += shared[w * all + i];
      const int sum = i / stride, slot = i % stride / 32;
      const int column = (slot / N * 32 + i % 32) * N + slot % N;
      if (column < a.width) store(partial + sum * a.width + column, v);
    }
  } else {
    if (summed)
      for (int sum = 0; sum < kNormSums; ++sum)  // by the lane that adds to it
        for (int c = lane; c < a.width; c += 32) store(partial + sum * a.width + c, 0.0f);
    const NormSums<N, kHold> sums{partial, a.width};
    for (int64_t row = first; row < last; ++row) norm_backward_row<T, N, kHold>(a, row, sums);
  }
}

inline constexpr int kFinishGroups = 8;

/// sums[k][c] += the chunks' partials: group g of the block adds chunks g, g + 8, …, then the
/// groups are added in order. Grid: tiles of 32 columns x kNormSums; block 32 x kFinishGroups
/// threads.
template <class Sum>
__global__ void __launch_bounds__(32 * kFinishGroups)
    norm_sums_kernel(int64_t chunks, int width, const Sum* partials, Sum* dweight, Sum* dbias,
                     Sum* dgamma) {
  SHARED(Sum, groups, 32 * kFinishGroups);
  Sum* to = blockIdx.y == 0 ? dweight : blockIdx.y == 1 ? dbias : dgamma;
  if (!to) return;
  const int lane = threadIdx.x % 32, group = threadIdx.x / 32, c = blockIdx.x * 32 + lane;
  Sum v = 0;
  if (c < width)
#pragma unroll 8
    for (int64_t k = group; k < chunks; k += kFinishGroups)
      v += load(partials + (k * kNormSums + blockIdx.y) * width + c);
  groups[threadIdx.x] = v;
  __syncthreads();
  if (group != 0 || c >= width) return;
  for (int g = 1; g < kFinishGroups; ++g) v += groups[g * 32 + lane];
  store(to + c, load(to + c) + v);
}

}  // namespace mome::MOME_DEVICE
