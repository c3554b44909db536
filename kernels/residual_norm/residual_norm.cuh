// Residual + layer scale + drop path + LayerNorm on the GPU, and the LayerNorm alone (layer_norm): a warp owns a row and holds it in
// registers, so that memory sees each operand once. Rows of more than 1,024 elements take the looping form, which reads them
// again from L2.
//
// Forward:  reads x, h (R·D), writes y, n: 4·R·D·sizeof(T) bytes (LayerNorm alone: 2). Backward: reads h, y, dy, dn, writes dx, dh:
// 6·R·D·sizeof(T) (LayerNorm alone: 3). ~10 and ~20 FLOPs an element: bound by memory traffic.
//
// Gradients of the parameters: blocks walk over chunks of rows (how many depends on the rows alone) and leave one partial row of
// each kind; a second kernel adds them in order. No atomics. Best measured fraction of copy bandwidth: not measured yet on a GPU.
#pragma once
#include "kernels/layer_norm/layer_norm_warp.cuh"
#include "kernels/residual_norm/residual_norm.h"

namespace mome::MOME_DEVICE {

/// What a row needs besides the matrices. h null: no residual (y = x is not stored); n null: no norm.
template <class T, int N>
__global__ void __launch_bounds__(kNormThreads)
norm_forward_kernel(ResidualNorm<T> a, const T* x, const T* h, T* y, T* n, float* mean, float* rstd) {
  const int lane = threadIdx.x % 32, width = int(a.width);
  const int64_t row = int64_t(blockIdx.x) * kNormWarps + threadIdx.x / 32;
  if (row >= a.rows) return;
  const int64_t at = row * width;
  const float keep = h && a.row_scale ? load(a.row_scale + row) : 1.0f;
  float held[kHeld];
  for_packs<N>(width, [&](int s, int c) {
    const Pack<T, N> px = load_pack<N>(x + at + c);
#pragma unroll
    for (int j = 0; j < N; ++j) held[s + j] = to_float(px[j]);
    if (!h) return;
    const Pack<T, N> ph = load_pack<N>(h + at + c);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float scale = a.gamma ? keep * load(a.gamma + c + j) : keep;
      out[j] = from_float<T>(held[s + j] + scale * to_float(ph[j]));
      held[s + j] = to_float(out[j]);  // the norm is of what is stored, as backward will read it
    }
    store_pack<N>(y + at + c, out);
  });
  if (!a.weight) return;
  float mu, r;
  warp_statistics<N>(width, held, a.eps, &mu, &r);
  for_packs<N>(width, [&](int s, int c) {
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>((held[s + j] - mu) * r * load(a.weight + c + j) + load(a.bias + c + j));
    store_pack<N>(n + at + c, out);
  });
  if (lane == 0) store(mean + row, mu), store(rstd + row, r);
}

/// The looping form: any width, one element a lane at a time.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
norm_forward_long_kernel(ResidualNorm<T> a, const T* x, const T* h, T* y, T* n, float* mean, float* rstd) {
  const int lane = threadIdx.x % 32, width = int(a.width);
  const int64_t row = int64_t(blockIdx.x) * kNormWarps + threadIdx.x / 32;
  if (row >= a.rows) return;
  const int64_t at = row * width;
  const float keep = h && a.row_scale ? load(a.row_scale + row) : 1.0f;
  const auto value = [&](int c) {
    float v = to_float(load(x + at + c));
    if (h) v = to_float(from_float<T>(v + (a.gamma ? keep * load(a.gamma + c) : keep) * to_float(load(h + at + c))));
    return v;
  };
  float sum = 0, square = 0;
  if (a.weight) {  // before y is written: it may be x
    for (int c = lane; c < width; c += 32) sum += value(c);
    sum = warp_sum(sum) / float(width);
    for (int c = lane; c < width; c += 32) square += (value(c) - sum) * (value(c) - sum);
    square = rsqrtf(warp_sum(square) / float(width) + a.eps);
  }
  for (int c = lane; c < width; c += 32) {
    const float v = value(c);
    if (h) store(y + at + c, from_float<T>(v));
    if (a.weight) store(n + at + c, from_float<T>((v - sum) * square * load(a.weight + c) + load(a.bias + c)));
  }
  if (a.weight && lane == 0) store(mean + row, sum), store(rstd + row, square);
}

/// What backward leaves: where each parameter's partial row stands in a chunk's row of partials; below 0: not wanted.
struct NormPartials {
  float* rows = nullptr;  // [chunks, stride]
  int64_t stride = 0;
  int gamma = -1, weight = -1, bias = -1;  // offsets
};

/// Floats a lane holds of a row.
MOME_HOST_DEVICE inline int norm_slots(int width, int n) { return (width + 32 * n - 1) / (32 * n) * n; }

/// g = dy + LayerNormBackward(dn); dx = g (added if `accumulate`); dh = g · keep · gamma. One pass over the rows of the chunk
/// blockIdx.x; partial gradients in shared memory, a stretch for each warp, added in the warps' order at the end.
template <class T, int N>
__global__ void __launch_bounds__(kNormThreads)
norm_backward_kernel(ResidualNorm<T> a, int64_t chunk, const T* h, const T* y, const float* mean, const float* rstd, const T* dy, const T* dn, T* dx,
                     bool accumulate, T* dh, NormPartials partials) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, width = int(a.width);
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < a.rows ? begin + chunk : a.rows;
  const int kinds = (partials.gamma >= 0) + (partials.weight >= 0) + (partials.bias >= 0);
  // [warps, kinds, slots, 32]: a lane's float `slot` stands at slot · 32 + lane, so that a warp's access takes all banks.
  float* sums = static_cast<float*>(dynamic_shared<float>());
  const int stretch = norm_slots(width, N) * 32;
  float* mine = sums + warp * kinds * stretch + lane;
  for (int i = 0; i < kinds * stretch; i += 32) mine[i] = 0;
  float* dgamma = mine;
  float* dweight = dgamma + (partials.gamma >= 0 ? stretch : 0);
  float* dbias = dweight + (partials.weight >= 0 ? stretch : 0);
  for (int64_t row = begin + warp; row < end; row += kNormWarps) {
    const int64_t at = row * width;
    const float keep = dh && a.row_scale ? load(a.row_scale + row) : 1.0f;
    float g[kHeld];  // the gradient that leaves
    for_packs<N>(width, [&](int s, int c) {
      if (dy) {
        const Pack<T, N> p = load_pack<N>(dy + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) g[s + j] = to_float(p[j]);
      } else {
#pragma unroll
        for (int j = 0; j < N; ++j) g[s + j] = 0;
      }
    });
    if (a.weight) {
      const float mu = load(mean + row), r = load(rstd + row);
      float xhat[kHeld], scaled[kHeld];
      float plain = 0, along = 0;
      for_packs<N>(width, [&](int s, int c) {
        const Pack<T, N> py = load_pack<N>(y + at + c), pn = load_pack<N>(dn + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const float d = to_float(pn[j]);
          xhat[s + j] = (to_float(py[j]) - mu) * r;
          scaled[s + j] = d * load(a.weight + c + j);
          plain += scaled[s + j], along += scaled[s + j] * xhat[s + j];
          if (partials.weight >= 0) dweight[(s + j) * 32] += d * xhat[s + j];
          if (partials.bias >= 0) dbias[(s + j) * 32] += d;
        }
      });
      plain = warp_sum(plain) / float(width), along = warp_sum(along) / float(width);
      for_packs<N>(width, [&](int s, int) {
#pragma unroll
        for (int j = 0; j < N; ++j) g[s + j] += r * (scaled[s + j] - plain - xhat[s + j] * along);
      });
    }
    for_packs<N>(width, [&](int s, int c) {
      Pack<T, N> out;
      if (accumulate) {
        const Pack<T, N> old = load_pack<N>(dx + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] = from_float<T>(to_float(old[j]) + g[s + j]);
      } else {
#pragma unroll
        for (int j = 0; j < N; ++j) out[j] = from_float<T>(g[s + j]);
      }
      if (partials.gamma >= 0) {
        const Pack<T, N> ph = load_pack<N>(h + at + c);
#pragma unroll
        for (int j = 0; j < N; ++j) dgamma[(s + j) * 32] += g[s + j] * keep * to_float(ph[j]);
      }
      if (dh) {
        Pack<T, N> branch;
#pragma unroll
        for (int j = 0; j < N; ++j) branch[j] = from_float<T>(g[s + j] * (a.gamma ? keep * load(a.gamma + c + j) : keep));
        store_pack<N>(dh + at + c, branch);
      }
      if (dx) store_pack<N>(dx + at + c, out);
    });
  }
  if (kinds == 0) return;
  __syncthreads();
  for (int i = threadIdx.x; i < kinds * width; i += kNormThreads) {
    const int kind = i / width, c = i % width;
    const int place = kind * stretch + (c / (32 * N) * N + c % N) * 32 + c / N % 32;
    float total = 0;
#pragma unroll
    for (int w = 0; w < kNormWarps; ++w) total += sums[w * kinds * stretch + place];
    store(partials.rows + blockIdx.x * partials.stride + i, total);
  }
}

/// The looping form of the rows' part; parameter gradients come from norm_columns_kernel.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
norm_backward_long_kernel(ResidualNorm<T> a, const T* y, const float* mean, const float* rstd, const T* dy, const T* dn, T* dx, bool accumulate, T* dh) {
  const int lane = threadIdx.x % 32, width = int(a.width);
  const int64_t row = int64_t(blockIdx.x) * kNormWarps + threadIdx.x / 32;
  if (row >= a.rows) return;
  const int64_t at = row * width;
  const float keep = dh && a.row_scale ? load(a.row_scale + row) : 1.0f;
  const float mu = a.weight ? load(mean + row) : 0, r = a.weight ? load(rstd + row) : 0;
  float plain = 0, along = 0;
  if (a.weight) {
    for (int c = lane; c < width; c += 32) {
      const float d = to_float(load(dn + at + c)) * load(a.weight + c);
      plain += d, along += d * (to_float(load(y + at + c)) - mu) * r;
    }
    plain = warp_sum(plain) / float(width), along = warp_sum(along) / float(width);
  }
  for (int c = lane; c < width; c += 32) {
    float g = dy ? to_float(load(dy + at + c)) : 0.0f;
    if (a.weight) g += r * (to_float(load(dn + at + c)) * load(a.weight + c) - plain - (to_float(load(y + at + c)) - mu) * r * along);
    if (dh) store(dh + at + c, from_float<T>(g * (a.gamma ? keep * load(a.gamma + c) : keep)));
    if (dx) store(dx + at + c, from_float<T>(accumulate ? to_float(load(dx + at + c)) + g : g));
  }
}

/// Partial parameter gradients of long rows: a thread a column. What left through dx is read back, before the caller adds to it.
template <class T>
__global__ void norm_columns_kernel(ResidualNorm<T> a, int64_t chunk, const T* h, const T* y, const float* mean, const float* rstd, const T* g, const T* dn,
                                    NormPartials partials) {
  const int64_t c = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  if (c >= a.width) return;
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < a.rows ? begin + chunk : a.rows;
  float dgamma = 0, dweight = 0, dbias = 0;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * a.width + c;
    if (partials.gamma >= 0) dgamma += to_float(load(g + at)) * (a.row_scale ? load(a.row_scale + row) : 1.0f) * to_float(load(h + at));
    if (partials.weight < 0 && partials.bias < 0) continue;
    const float d = to_float(load(dn + at));
    dweight += d * (to_float(load(y + at)) - load(mean + row)) * load(rstd + row);
    dbias += d;
  }
  float* to = partials.rows + blockIdx.x * partials.stride + c;
  if (partials.gamma >= 0) store(to + partials.gamma, dgamma);
  if (partials.weight >= 0) store(to + partials.weight, dweight);
  if (partials.bias >= 0) store(to + partials.bias, dbias);
}

/// sums[c] += partials[k · stride + c] for k = 0, 1, …
static __global__ void add_norm_partials_kernel(int chunks, int width, const float* partials, int64_t stride, float* sums) {
  const int c = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= width) return;
  float sum = 0;
#pragma unroll 8
  for (int k = 0; k < chunks; ++k) sum += load(partials + k * stride + c);
  store(sums + c, load(sums + c) + sum);
}

}  // namespace mome::MOME_DEVICE
