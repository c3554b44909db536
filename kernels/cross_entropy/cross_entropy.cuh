// Cross-entropy: a block of 1,024 threads walks a row twice, once for its largest logit and its sum of exponentials
// together, once for the gradient; rows of at most 1,024 logits take a warp. The second visit comes from L1 or L2 (two
// rows a multiprocessor: 122 KB of half at BERT's 30,522 words), so memory sees 2 s bytes a logit (s if logits are kept);
// 2 exponentials and 8 FLOPs. Rows start at any element: elements before the first 16-byte boundary and behind the
// last one are single, between them lie whole packs. So the order of a sum follows from the row's place, which every
// allocation gives alike.
// Squared error: 3 s bytes, 4 FLOPs an element. Normalised patches: 2 s bytes, 7 FLOPs; a warp a row, which L1 holds.
// All are bound by memory.
#pragma once
#include "kernels/arch/block_sum.cuh"
#include "kernels/arch/online_softmax.cuh"
#include "kernels/cross_entropy/cross_entropy.h"

namespace mome::MOME_DEVICE {

inline constexpr int kRowThreads = 512;            // of a long row
inline constexpr int kSquaredErrorChunk = 8192;     // elements a block

/// Whether v at place j would be named instead of the label's logit.
__device__ __forceinline__ int beats(float v, int j, float own, int label) { return v > own || (v == own && j < label); }

template <class T, int kTeam>
__global__ void __launch_bounds__(kTeam == 32 ? 128 : kTeam)
    cross_entropy_kernel(int64_t rows, int vocabulary, T* logits, int64_t ld, const int32_t* label, float weight,
                         const float* loss_scale, bool keep, CrossEntropyResult* per_row) {
  constexpr int N = kPack<T>;
  const int t = threadIdx.x % kTeam;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / kTeam) + threadIdx.x / kTeam;
  if (row >= rows) return;  // never a part of a team
  T* x = logits + row * ld;
  const int right = load(label + row);
  const float own = to_float(load(x + right));
  int head = int((16 - uintptr_t(x) % 16) % 16 / sizeof(T));
  if (head > vocabulary) head = vocabulary;
  const int tail = head + (vocabulary - head) / N * N;

  OnlineSoftmax s;
  int beaten = own != own;  // NaN is never the largest
  if (t < head) {
    const float v = to_float(load(x + t));
    s.add(v);
    beaten |= beats(v, t, own, right);
  }
  for (int j = head + t * N; j < tail; j += kTeam * N) {
    const Pack<T, N> p = load_pack<N>(x + j);
    float v[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = to_float(p[i]);
      beaten |= beats(v[i], j + i, own, right);
    }
    s.add(v);
  }
  if (tail + t < vocabulary) {
    const float v = to_float(load(x + tail + t));
    s.add(v);
    beaten |= beats(v, tail + t, own, right);
  }
  if constexpr (kTeam == 32) {
    s.merge_warp();
    beaten = __any_sync(kFullMask, beaten);
  } else {
    beaten = merge_block(s, beaten);
  }
  if (t == 0) {
    CrossEntropyResult r;
    r.loss = log(double(s.sum)) + (double(s.largest) - double(own));
    r.correct = !beaten;
    store(per_row + row, r);
  }
  if (keep) return;
  if (loss_scale) weight *= load(loss_scale);
  const float factor = weight / s.sum;
  if (t < head) {
    const float v = to_float(load(x + t));
    store(x + t, from_float<T>(factor * expf(v - s.largest) - (t == right ? weight : 0.0f)));
  }
  for (int j = head + t * N; j < tail; j += kTeam * N) {
    Pack<T, N> p = load_pack<N>(x + j);
#pragma unroll
    for (int i = 0; i < N; ++i)
      p[i] = from_float<T>(factor * expf(to_float(p[i]) - s.largest) - (j + i == right ? weight : 0.0f));
    store_pack<N>(x + j, p);
  }
  if (tail + t < vocabulary) {
    const float v = to_float(load(x + tail + t));
    store(x + tail + t, from_float<T>(factor * expf(v - s.largest) - (tail + t == right ? weight : 0.0f)));
  }
}

/// One block: thread i adds rows i, i + threads, ….
__global__ void cross_entropy_sum_kernel(int64_t rows, const CrossEntropyResult* per_row, CrossEntropyResult* result) {
  double v[2] = {0, 0};
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) {
    const CrossEntropyResult one = load(per_row + r);
    v[0] += one.loss, v[1] += double(one.correct);
  }
  block_sum(v);
  if (threadIdx.x != 0) return;
  CrossEntropyResult total;
  total.loss = v[0], total.correct = int64_t(v[1]);
  store(result, total);
}

template <class T, int N>
__global__ void squared_error_kernel(int64_t count, T* x, const T* target, float factor, const float* loss_scale, bool keep,
                                     double* partial) {
  const int64_t begin = int64_t(blockIdx.x) * kSquaredErrorChunk;
  const int64_t end = begin + kSquaredErrorChunk < count ? begin + kSquaredErrorChunk : count;
  const int64_t tail = begin + (end - begin) / N * N;
  if (loss_scale) factor *= load(loss_scale);
  double v[1] = {0};
  for (int64_t i = begin + threadIdx.x * N; i < tail; i += blockDim.x * N) {
    Pack<T, N> p = load_pack<N>(x + i);
    const Pack<T, N> q = load_pack<N>(target + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float difference = to_float(p[j]) - to_float(q[j]);
      v[0] += double(difference) * double(difference);
      p[j] = from_float<T>(factor * difference);
    }
    if (!keep) store_pack<N>(x + i, p);
  }
  if (tail + threadIdx.x < end) {  // fewer than N
    const int64_t i = tail + threadIdx.x;
    const float difference = to_float(load(x + i)) - to_float(load(target + i));
    v[0] += double(difference) * double(difference);
    if (!keep) store(x + i, from_float<T>(factor * difference));
  }
  block_sum(v);
  if (threadIdx.x == 0) store(partial + blockIdx.x, v[0]);
}

__global__ void squared_error_sum_kernel(int64_t chunks, const double* partial, double* sum) {
  double v[1] = {0};
  for (int64_t c = threadIdx.x; c < chunks; c += blockDim.x) v[0] += load(partial + c);
  block_sum(v);
  if (threadIdx.x == 0) store(sum, v[0]);
}

template <class T, int N>
__global__ void normalize_patches_kernel(int64_t rows, int width, const T* patches, T* out) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  patches += row * width, out += row * width;
  float sum = 0;
  for (int c = lane * N; c < width; c += 32 * N) {
    const Pack<T, N> p = load_pack<N>(patches + c);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += to_float(p[j]);
  }
  const float near = warp_sum(sum) / float(width);
  // The mean is off by its rounding, which weighs where the patch is nearly one colour: the differences' own mean mends it.
  float difference = 0, square = 0;
  for (int c = lane * N; c < width; c += 32 * N) {
    const Pack<T, N> p = load_pack<N>(patches + c);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float d = to_float(p[j]) - near;
      difference += d;
      square += d * d;
    }
  }
  const float rest = warp_sum(difference) / float(width);
  const float squares = warp_sum(square) - float(width) * rest * rest;
  const float inverse = 1.0f / sqrtf((width > 1 ? fmaxf(squares, 0.0f) / float(width - 1) : 0.0f) + 1e-6f);
  for (int c = lane * N; c < width; c += 32 * N) {
    Pack<T, N> p = load_pack<N>(patches + c);
#pragma unroll
    for (int j = 0; j < N; ++j) p[j] = from_float<T>(((to_float(p[j]) - near) - rest) * inverse);
    store_pack<N>(out + c, p);
  }
}

}  // namespace mome::MOME_DEVICE
