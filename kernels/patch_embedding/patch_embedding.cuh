// Image tokens on the GPU: rows in packs of N elements, sums in float.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// x[b, t] = (cls, mask_token or proj[b, t-1]) + position[t] + type; a warp walks a row. Bytes per
/// element of s bytes: 2s (the vectors stay in cache); 2 FLOPs: bound by memory.
template <class T, int N>
__global__ void patch_embedding_forward_kernel(int64_t rows, int64_t patches, int64_t width,
                                               const T* proj, const uint8_t* masked,
                                               const float* mask_token, const float* cls,
                                               const float* position, const float* type, T* x) {
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const int64_t token = row % (patches + 1), patch = row / (patches + 1) * patches + token - 1;
  const float* vector = token == 0 ? cls : masked && load(masked + patch) ? mask_token : nullptr;
  proj += patch * width;
  if (position) position += token * width;
  x += row * width;
  for (int64_t c = int64_t(threadIdx.x % 32) * N; c < width; c += 32 * N) {
    float sum[N];
    if (vector) {
      const Pack<float, N> v = load_pack<N>(vector + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] = v[j];
    } else {
      const Pack<T, N> v = load_pack<N>(proj + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] = to_float(v[j]);
    }
    if (position) {
      const Pack<float, N> p = load_pack<N>(position + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += p[j];
    }
    const Pack<float, N> t = load_pack<N>(type + c);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>(sum[j] + t[j]);
    store_pack<N>(x + c, out);
  }
}

template <int N>
__device__ __forceinline__ void add_pack(float* to, const Pack<float, N>& v) {
  Pack<float, N> total = load_pack<N>(to);
#pragma unroll
  for (int j = 0; j < N; ++j) total[j] += v[j];
  store_pack<N>(to, total);
}

/// A warp owns (position, tile of 32 N columns) and walks the batch in order: dproj is dx or 0, and
/// the sums over the batch are the position's gradient and its part of those of type and mask token
/// (type_parts [P+1, D], mask_parts [P, D], to be added position after position). Null: not wanted.
/// Bytes per element of s bytes: dx read and dproj written, 2s, and 8 / B of parts; 1 to 2 FLOPs:
/// bound by memory. The arrays do not overlap, so that loads of the next images need not wait for
/// the stores of this one.
template <class T, int N>
__global__ void patch_embedding_backward_kernel(int64_t batch, int64_t patches, int64_t width,
                                                const uint8_t* __restrict__ masked,
                                                const T* __restrict__ dx, T* __restrict__ dproj,
                                                float* dcls, float* dposition, float* type_parts,
                                                float* mask_parts) {
  const int64_t token = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int64_t c = (int64_t(blockIdx.y) * 32 + threadIdx.x % 32) * N;
  if (token > patches || c >= width) return;
  const bool is_patch = token > 0;
  Pack<float, N> sum, mask_sum;
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] = mask_sum[j] = 0;
  dx += token * width + c;
#pragma unroll 4
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t patch = b * patches + token - 1;
    const bool hidden = is_patch && masked && load(masked + patch);
    Pack<T, N> d = load_pack<N>(dx + b * (patches + 1) * width);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float v = to_float(d[j]);
      sum[j] += v;
      if (hidden) mask_sum[j] += v, d[j] = from_float<T>(0);
    }
    if (is_patch && dproj) store_pack<N>(dproj + patch * width + c, d);
  }
  if (dposition) add_pack(dposition + token * width + c, sum);
  if (dcls && !is_patch) add_pack(dcls + c, sum);
  if (type_parts) store_pack<N>(type_parts + token * width + c, sum);
  if (mask_parts && is_patch) store_pack<N>(mask_parts + (token - 1) * width + c, mask_sum);
}

}  // namespace mome::MOME_DEVICE
