// AdamW and what goes with it, on the GPU. Model, per parameter: adamw reads w, g, m, v and writes
// w, m, v (28 bytes) and the 16-bit copy (2), ~14 FLOPs with one square root and one division;
// squared_norm reads g (4 bytes), one conversion and one FMA in double; moving_average 12 bytes, 3
// FLOPs; round_copy 6 bytes. All bound by memory traffic.
//
// A range of at most kAdamWRange elements is served by kSlices blocks, a slice each; within a slice
// the elements from the first multiple of N to the last go as packs, the few before and behind one
// by one.
#pragma once
#include "kernels/adamw/step_control.h"
#include "kernels/arch/block_sum.cuh"

namespace mome::MOME_DEVICE {

inline constexpr int kAdamWThreads = 256, kSlices = 4;
inline constexpr int64_t kSlice = kAdamWRange / kSlices;

/// Calls f.template at<N>(i) for packs and f.template at<1>(i) for single elements: the threads of
/// a block share [begin, end).
template <int N, class F>
__device__ __forceinline__ void for_run(int64_t begin, int64_t end, F& f) {
  const int64_t first = (begin + N - 1) / N * N, last = end / N * N;
  if (first >= last) {
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) f.template at<1>(i);
    return;
  }
  for (int64_t i = first + int64_t(threadIdx.x) * N; i < last; i += int64_t(blockDim.x) * N)
    f.template at<N>(i);
  if (begin + threadIdx.x < first) f.template at<1>(begin + threadIdx.x);
  if (last + threadIdx.x < end) f.template at<1>(last + threadIdx.x);
}

/// This block's slice of a table of ranges.
__device__ __forceinline__ AdamWRange block_slice(const AdamWRange* range) {
  AdamWRange r = load(range + blockIdx.x / kSlices);
  r.begin += blockIdx.x % kSlices * kSlice;
  r.end = r.begin + kSlice < r.end ? r.begin + kSlice : r.end;
  return r;
}

struct SquareSum {
  const float* g;
  double sum = 0;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) {
    const Pack<float, N> p = load_pack<N>(g + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += double(p[j]) * double(p[j]);
  }
};
template <int N>
__global__ void squared_norm_partial_kernel(const AdamWRange* range, const float* g,
                                            double* partial) {
  const AdamWRange r = block_slice(range);
  SquareSum s{g};
  if (r.begin < r.end) for_run<N>(r.begin, r.end, s);
  double sum[1] = {s.sum};
  block_sum(sum);
  if (threadIdx.x == 0) store(partial + blockIdx.x, sum[0]);
}
/// One block: thread i adds partial sums i, i + threads, ….
__global__ void squared_norm_total_kernel(int64_t partials, const double* partial,
                                                 double* result) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < partials; i += blockDim.x) sum += load(partial + i);
  double total[1] = {sum};
  block_sum(total);
  if (threadIdx.x == 0) store(result, total[0]);
}

__global__ void step_control_kernel(AdamWOptions adamw, ControlOptions options,
                                           StepControl* control) {
  if (threadIdx.x != 0) return;
  StepControl c = load(control);
  update_control(adamw, options, c);
  store(control, c);
}

template <class T>
struct AdamWUpdate {
  AdamWRates<float> s;
  float* w;
  const float* g;
  float *m, *v;
  T* copy;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) {
    const Pack<float, N> gs = load_pack<N>(g + i);
    Pack<float, N> ws = load_pack<N>(w + i), ms = load_pack<N>(m + i), vs = load_pack<N>(v + i);
    Pack<T, N> rounded;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float gi = gs[j] * s.grad_scale;
      ms[j] = s.b1 * ms[j] + s.c1 * gi;
      vs[j] = s.b2 * vs[j] + s.c2 * gi * gi;
      const float stepped = ws[j] - s.rate * (ms[j] / (sqrtf(vs[j]) + s.eps));
      ws[j] = stepped - s.decay * stepped;
      rounded[j] = from_float<T>(ws[j]);
    }
    store_pack<N>(w + i, ws);
    store_pack<N>(m + i, ms);
    store_pack<N>(v + i, vs);
    if (copy) store_pack<N>(copy + i, rounded);
  }
};
template <class T, int N>
__global__ void adamw_kernel(AdamWOptions options, const StepControl* control,
                             const AdamWRange* range, float* w, const float* g, float* m, float* v,
                             T* copy) {
  const StepControl c = load(control);
  if (c.skip) return;
  const AdamWRange r = block_slice(range);
  if (r.begin >= r.end) return;
  AdamWUpdate<T> update{rates_of<float>(options, c, r), w, g, m + r.moments, v + r.moments, copy};
  for_run<N>(r.begin, r.end, update);
}

struct AverageUpdate {
  float keep, take;
  const float* w;
  float* average;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) {
    const Pack<float, N> ws = load_pack<N>(w + i);
    Pack<float, N> a = load_pack<N>(average + i);
#pragma unroll
    for (int j = 0; j < N; ++j) a[j] = keep * a[j] + take * ws[j];
    store_pack<N>(average + i, a);
  }
};
template <int N>
__global__ void moving_average_kernel(int64_t count, float keep, float take,
                                      const StepControl* control, const float* w, float* average) {
  if (load(&control->skip)) return;
  const int64_t begin = int64_t(blockIdx.x) * kSlice;
  AverageUpdate update{keep, take, w, average};
  for_run<N>(begin, begin + kSlice < count ? begin + kSlice : count, update);
}

template <class T>
struct Rounding {
  const float* w;
  T* copy;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) {
    const Pack<float, N> ws = load_pack<N>(w + i);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) out[j] = from_float<T>(ws[j]);
    store_pack<N>(copy + i, out);
  }
};
template <class T, int N>
__global__ void round_copy_kernel(int64_t count, const float* w, T* copy) {
  const int64_t begin = int64_t(blockIdx.x) * kSlice;
  Rounding<T> rounding{w, copy};
  for_run<N>(begin, begin + kSlice < count ? begin + kSlice : count, rounding);
}

}  // namespace mome::MOME_DEVICE
