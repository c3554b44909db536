// The tile without tensor cores (mma.cuh), for fp32 training on any GPU. Its layout is Ampere's.
// Fragments are places in shared memory: what they name must stay there until the product is made.
#pragma once
#include "kernels/arch/mma.cuh"

namespace mome::MOME_DEVICE {

template <class T>
struct Fma {
  using Element = T;
  static constexpr int kStride =
      20;  // of scratch: 16 and 16 bytes, so that rows shift over the banks
  static constexpr int kRowMask0 = 1, kRowMask1 = 2, kScratch = 16 * kStride, kStages = 1;
  static __device__ __forceinline__ int row(int lane, int r) { return lane / 4 + 8 * r; }
  static __device__ __forceinline__ int col(int lane, int c) {
    return 2 * (lane % 4) + (c & 1) + 8 * (c >> 1);
  }

  struct Place {
    const T* p;
    int ld;
  };
  struct A : Place {};
  struct At : Place {};
  struct B : Place {};
  struct Bt : Place {};

  static __device__ __forceinline__ void load_a(A& a, const T* p, int ld) { a.p = p, a.ld = ld; }
  static __device__ __forceinline__ void load_a_t(At& a, const T* p, int ld) { a.p = p, a.ld = ld; }
  static __device__ __forceinline__ void load_b(B& b, const T* p, int ld) { b.p = p, b.ld = ld; }
  static __device__ __forceinline__ void load_b_t(Bt& b, const T* p, int ld) { b.p = p, b.ld = ld; }

  /// The A of an earlier call on the same scratch is lost.
  static __device__ __forceinline__ void to_a(A& a, const Acc& c, T* scratch MOME_SITE) {
    const int l = lane_index();
    __syncwarp();  // the last products with this scratch are made
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int h = 0; h < 2; ++h)
        store_shared<2>(
            scratch + row(l, r) * kStride + col(l, 2 * h), Pack<T, 2> {
              { c.value[4 * r + 2 * h], c.value[4 * r + 2 * h + 1] }
            } MOME_SITE_PASS);
    __syncwarp();
    a.p = scratch, a.ld = kStride;
  }

  template <class FragmentA, class FragmentB>
  static __device__ __forceinline__ void mma(Acc& c, const FragmentA& a,
                                             const FragmentB& b MOME_SITE) {
    const int l = lane_index();
#pragma unroll 1  // unrolled, all 16 steps' loads are hoisted and spill
    for (int k = 0; k < 16; k += 4) {
      float x[2][4], y[4][4];  // [row][k], [k][column]
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if constexpr (std::is_same_v<FragmentA, A>) {
          const Pack<T, 4> v = load_shared<4>(a.p + row(l, r) * a.ld + k MOME_SITE_PASS);
#pragma unroll
          for (int i = 0; i < 4; ++i) x[r][i] = v[i];
        } else {
#pragma unroll
          for (int i = 0; i < 4; ++i)
            x[r][i] = load_shared<1>(a.p + (k + i) * a.ld + row(l, r) MOME_SITE_PASS)[0];
        }
      }
      if constexpr (std::is_same_v<FragmentB, B>) {
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const Pack<T, 4> v = load_shared<4>(b.p + col(l, q) * b.ld + k MOME_SITE_PASS);
#pragma unroll
          for (int i = 0; i < 4; ++i) y[i][q] = v[i];
        }
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const Pack<T, 2> v =
                load_shared<2>(b.p + (k + i) * b.ld + col(l, 2 * h) MOME_SITE_PASS);
            y[i][2 * h] = v[0], y[i][2 * h + 1] = v[1];
          }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
          for (int q = 0; q < 4; ++q)
            c.value[4 * r + q] = fmaf(x[r][i], y[i][q], c.value[4 * r + q]);
    }
  }
};

}  // namespace mome::MOME_DEVICE
