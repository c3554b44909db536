// Text embeddings on the GPU: a warp walks a row in packs of N elements; sums in float.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// e[r] = word[token[r]] + type + position[pos[r]]. Reads 4 bytes (word; type and position stay in cache) and writes
/// sizeof(T) an element; 2 FLOPs: bound by memory.
template <class T, int N>
__global__ void text_embedding_forward_kernel(int64_t rows, int64_t width, const int32_t* token, const int32_t* pos,
                                              const float* word, const float* type, const float* position, T* e) {
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  word += load(token + row) * width;
  if (position) position += load(pos + row) * width;
  e += row * width;
  for (int64_t c = int64_t(threadIdx.x % 32) * N; c < width; c += 32 * N) {
    const Pack<float, N> w = load_pack<N>(word + c), t = load_pack<N>(type + c);
    float sum[N];
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = w[j] + t[j];
    if (position) {
      const Pack<float, N> p = load_pack<N>(position + c);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += p[j];
    }
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>(sum[j]);
    store_pack<N>(e + c, out);
  }
}

/// table[key] += de[r] over the key's rows in order. A warp owns (key, tile of 32 N columns): the order of its sum is the
/// rows', whoever else runs. Reads de once, reads and writes each touched row of the table once; 1 FLOP an element.
template <class T, int N>
__global__ void text_embedding_backward_kernel(int64_t keys, int64_t width, const int32_t* key, const int32_t* begin,
                                               const int32_t* row, const T* de, float* table) {
  const int64_t k = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int64_t c = (int64_t(blockIdx.y) * 32 + threadIdx.x % 32) * N;
  if (k >= keys || c >= width) return;
  table += load(key + k) * width + c;
  const int32_t last = load(begin + k + 1);
  Pack<float, N> sum = load_pack<N>(table);
#pragma unroll 4
  for (int32_t i = load(begin + k); i < last; ++i) {
    const Pack<T, N> d = load_pack<N>(de + load(row + i) * width + c);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] += to_float(d[j]);
  }
  store_pack<N>(table, sum);
}

}  // namespace mome::MOME_DEVICE
