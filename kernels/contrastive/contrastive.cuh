// Normalisation: a warp a row, 2 s bytes an element (the second visit of a row comes from L1), 3 FLOPs; the squares are
// added in double, which costs nothing beside the memory and neither vanishes nor overflows.
//
// Loss over an N x N matrix of floats: the row pass and the column pass read it once each (statistics of the softmaxes in
// one visit), the gradient pass reads and writes it: 16 bytes, 4 exponentials and about 25 FLOPs an element; up to
// N = 2,000 or so it stays in L2. A block takes a row, or 32 columns in 8 interleaved runs of rows, so that a warp reads
// 128 consecutive bytes in either; sums meet in shared memory in fixed order.
#pragma once
#include "kernels/arch/block_sum.cuh"
#include "kernels/arch/online_softmax.cuh"
#include "kernels/contrastive/contrastive.h"

namespace mome::MOME_DEVICE {

template <class T, int N>
__global__ void l2_normalize_forward_kernel(int64_t rows, int width, const T* x, T* y, float* inverse_norm) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  x += row * width, y += row * width;
  double squares = 0;
  for (int c = lane * N; c < width; c += 32 * N) {
    const Pack<T, N> p = load_pack<N>(x + c);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += double(to_float(p[j])) * double(to_float(p[j]));
  }
  const double norm = sqrt(warp_sum(squares));
  const float inverse = float(1 / (norm > 1e-12 ? norm : 1e-12));
  for (int c = lane * N; c < width; c += 32 * N) {
    Pack<T, N> p = load_pack<N>(x + c);
#pragma unroll
    for (int j = 0; j < N; ++j) p[j] = from_float<T>(to_float(p[j]) * inverse);
    store_pack<N>(y + c, p);
  }
  if (lane == 0) store(inverse_norm + row, inverse);
}

template <class T, int N>
__global__ void l2_normalize_backward_kernel(int64_t rows, int width, const T* y, const float* inverse_norm, const T* dy, T* dx) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  y += row * width, dy += row * width, dx += row * width;
  const float inverse = load(inverse_norm + row);
  float along = 0;
  for (int c = lane * N; c < width; c += 32 * N) {
    const Pack<T, N> p = load_pack<N>(y + c), q = load_pack<N>(dy + c);
#pragma unroll
    for (int j = 0; j < N; ++j) along += to_float(p[j]) * to_float(q[j]);
  }
  along = warp_sum(along);
  if (inverse >= 1e12f) along = 0;  // a norm at the floor is a constant: no part of the gradient goes through it
  for (int c = lane * N; c < width; c += 32 * N) {
    const Pack<T, N> p = load_pack<N>(y + c);
    Pack<T, N> q = load_pack<N>(dy + c);
#pragma unroll
    for (int j = 0; j < N; ++j) q[j] = from_float<T>(inverse * (to_float(q[j]) - along * to_float(p[j])));
    store_pack<N>(dx + c, q);
  }
}

/// What tells other true pairs of the batch; null: nothing.
struct PairIds {
  const int64_t *image, *caption;
  __device__ __forceinline__ bool same(int i, int j) const {
    return (image && load(image + i) == load(image + j)) || (caption && load(caption + i) == load(caption + j));
  }
};

/// Statistics of the N softmaxes over rows, or over columns.
struct ContrastiveSide {
  float *largest, *sum;
  double* loss;
  int* correct;
  __device__ __forceinline__ void finish(int i, const OnlineSoftmax& s, float diagonal, int beaten, const float* log_scale) const {
    store(largest + i, s.largest);
    store(sum + i, s.sum);
    store(loss + i, log(double(s.sum)) + exp(double(load(log_scale))) * (double(s.largest) - double(diagonal)));
    store(correct + i, int(!beaten));
  }
};

/// Similarities are subtracted before they are multiplied by scale: the difference is exact where it matters.
__device__ __forceinline__ float contrastive_scale(const float* log_scale) { return float(exp(double(load(log_scale)))); }

/// Block i: row i.
__global__ void contrastive_row_kernel(int n, const float* similarity, const float* log_scale, PairIds ids, ContrastiveSide rows) {
  const int i = int(blockIdx.x);
  similarity += int64_t(i) * n;
  const float own = load(similarity + i);
  OnlineSoftmax s{contrastive_scale(log_scale)};
  int beaten = own != own;  // NaN is never the largest
  for (int j = threadIdx.x; j < n; j += blockDim.x) {
    if (j != i && ids.same(i, j)) continue;
    const float v = load(similarity + j);
    s.add(v);
    beaten |= v > own || (v == own && j < i);
  }
  beaten = merge_block(s, beaten);
  if (threadIdx.x == 0) rows.finish(i, s, own, beaten, log_scale);
}

inline constexpr int kColumnRuns = 8;  // rows r, r + 8, … of 32 columns are a warp's

__global__ void contrastive_column_kernel(int n, const float* similarity, const float* log_scale, PairIds ids,
                                                 ContrastiveSide columns) {
  SHARED(float, largest, kColumnRuns * 32);
  SHARED(float, sum, kColumnRuns * 32);
  SHARED(int, lost, kColumnRuns * 32);
  const int run = threadIdx.x / 32, j = int(blockIdx.x) * 32 + threadIdx.x % 32;
  OnlineSoftmax s{contrastive_scale(log_scale)};
  float own = 0;
  int beaten = 0;
  if (j < n) {
    own = load(similarity + int64_t(j) * n + j);
    beaten = own != own;
    for (int i = run; i < n; i += kColumnRuns) {
      if (i != j && ids.same(i, j)) continue;
      const float v = load(similarity + int64_t(i) * n + j);
      s.add(v);
      beaten |= v > own || (v == own && i < j);
    }
  }
  largest[threadIdx.x] = s.largest, sum[threadIdx.x] = s.sum, lost[threadIdx.x] = beaten;
  __syncthreads();
  if (run != 0 || j >= n) return;
  for (int r = 1; r < kColumnRuns; ++r) {
    s.merge(largest[r * 32 + threadIdx.x], sum[r * 32 + threadIdx.x]);
    beaten |= lost[r * 32 + threadIdx.x];
  }
  columns.finish(j, s, own, beaten, log_scale);
}

/// Block i: row i of similarity becomes its gradient; slope[i] = sum_j s[i,j] d loss / d logit[i,j].
__global__ void contrastive_gradient_kernel(int n, float* similarity, const float* log_scale, PairIds ids, ContrastiveSide rows,
                                                   ContrastiveSide columns, float factor, const float* loss_scale, double* slope) {
  const int i = int(blockIdx.x);
  similarity += int64_t(i) * n;
  const float scale = contrastive_scale(log_scale), largest = load(rows.largest + i), inverse = 1.0f / load(rows.sum + i);
  if (loss_scale) factor *= load(loss_scale);
  double v[1] = {0};
  for (int j = threadIdx.x; j < n; j += blockDim.x) {
    const float s = load(similarity + j);
    float g = 0;
    if (j == i || !ids.same(i, j)) {
      const float by_row = expf(scale * (s - largest)) * inverse;
      const float by_column = expf(scale * (s - load(columns.largest + j))) * (1.0f / load(columns.sum + j));
      g = factor * (j == i ? (by_row - 1.0f) + (by_column - 1.0f) : by_row + by_column);
    }
    v[0] += double(g) * double(s);
    store(similarity + j, scale * g);
  }
  block_sum(v);
  if (threadIdx.x == 0) store(slope + i, v[0]);
}

/// One block: thread i adds pairs i, i + threads, ….
__global__ void contrastive_sum_kernel(int n, ContrastiveSide rows, ContrastiveSide columns, const double* slope,
                                              const float* log_scale, float* dlog_scale, ContrastiveResult* result) {
  double v[4] = {0, 0, 0, 0};
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    v[0] += (load(rows.loss + i) + load(columns.loss + i)) / (2.0 * double(n));
    v[1] += load(rows.correct + i);
    v[2] += load(columns.correct + i);
    v[3] += load(slope + i);
  }
  block_sum(v);
  if (threadIdx.x != 0) return;
  ContrastiveResult r;
  r.loss = v[0], r.image_correct = int64_t(v[1]), r.text_correct = int64_t(v[2]);
  store(result, r);
  if (dlog_scale && n > 0) store(dlog_scale, load(dlog_scale) + float(v[3] * exp(double(load(log_scale)))));
}

}  // namespace mome::MOME_DEVICE
