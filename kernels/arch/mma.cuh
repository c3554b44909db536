// Tile types: one warp-level product for every architecture,
//
//   Acc 16x16 (fp32) += A 16x16 . B 16x16
//
// and what a kernel needs to know of the accumulator's layout: a lane holds 2 rows x 4 columns of
// it, value[r*4 + c] at (row(lane, r), col(lane, c)); columns 0, 1 and 2, 3 of the four are
// neighbours in the matrix, and the four lanes that share rows are joined by shuffles of the xor
// masks kRowMask0 and kRowMask1.
//
//   Ampere<half|bf16>  2 mma.m16n8k16   operands by ldmatrix here Turing<half>       4 mma.m16n8k8
//   operands by ldmatrix                                     here Volta<half>        4 mma.m8n8k4
//   four 8x8x4 products each, a quad-pair's                  mma_volta.cuh Fma<float>         no
//   tensor core: fp32 multiply-adds, operands stay in shared memory        mma_fma.cuh Native<T>
//   the best of them on the GPU that runs the kernel                          mma_native.cuh
//
// Operands lie in shared memory, `ld` elements from row to row; rows are 16-byte aligned. Without
// bank conflicts if ld is an odd number of 16 bytes.
//
//   load_a     A[m][k] = p[m*ld + k]       load_b     B[k][n] = p[n*ld + k]
//   load_a_t   A[m][k] = p[k*ld + m]       load_b_t   B[k][n] = p[k*ld + n]
//   to_a       A = Acc rounded to T, in registers (Fma: through `scratch`, kScratch elements of
//   shared memory a warp)
//
// All lanes of the warp call together. Source: PTX ISA 8.7, "Matrix Fragments for mma.m16n8k16 /
// m16n8k8"; that two neighbouring n8 accumulators are an A fragment: Dao 2023 (FlashAttention-2).
#pragma once
#include "kernels/arch/copy.cuh"

namespace mome::MOME_DEVICE {

struct Acc {
  float value[8];
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < 8; ++i) value[i] = 0;
  }
};

/// Two numbers rounded to T, the first in the low half.
template <class T>
__device__ __forceinline__ uint32_t pack_pair(float low, float high) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, half>) {
    const __half2 h = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
#if __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, bf16>) {
    const __nv_bfloat162 h = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
#endif
#endif
  return uint32_t(from_float<T>(low).bits) | uint32_t(from_float<T>(high).bits) << 16;
}

__device__ __forceinline__ int lane_index() { return int(threadIdx.x % 32); }

#if !defined(__CUDACC__)
/// What the twins of mma exchange: a lane's registers as floats, first A's, then B's.
template <class T, int N>
void widen_registers(const uint32_t (&r)[N], float* to) {
  for (int i = 0; i < N; ++i) {
    to[2 * i] = to_float(T{uint16_t(r[i])});
    to[2 * i + 1] = to_float(T{uint16_t(r[i] >> 16)});
  }
}
inline void count_mma(int instructions) {
  Thread& t = self();
  if (t.lane == 0) t.block->counters().mma += instructions;
}
#endif

/// What Ampere and Turing share: registers hold the four 8x8 quarters of a 16x16 operand, as
/// ldmatrix delivers them.
template <class T>
struct QuarterTile {
  using Element = T;
  static constexpr int kRowMask0 = 1, kRowMask1 = 2, kScratch = 0;
  static __device__ __forceinline__ int row(int lane, int r) { return lane / 4 + 8 * r; }
  static __device__ __forceinline__ int col(int lane, int c) {
    return 2 * (lane % 4) + (c & 1) + 8 * (c >> 1);
  }

  struct A {  // quarters (row half, k half): 00, 10, 01, 11
    uint32_t r[4];
  };
  struct B {  // quarters (k half, column half): 00, 10, 01, 11
    uint32_t r[4];
  };
  using At = A;
  using Bt = B;

  static __device__ __forceinline__ void load_a(A& a, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    load_matrices<false>(a.r, p + (l % 16) * ld + l / 16 * 8 MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_a_t(A& a, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    load_matrices<true>(a.r, p + (l % 8 + l / 16 * 8) * ld + l / 8 % 2 * 8 MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_b(B& b, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    load_matrices<false>(b.r, p + (l % 8 + l / 16 * 8) * ld + l / 8 % 2 * 8 MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_b_t(B& b, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    load_matrices<true>(b.r, p + (l % 16) * ld + l / 16 * 8 MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void to_a(A& a, const Acc& c, T*) {
    const float* v = c.value;
    a.r[0] = pack_pair<T>(v[0], v[1]);
    a.r[1] = pack_pair<T>(v[4], v[5]);
    a.r[2] = pack_pair<T>(v[2], v[3]);
    a.r[3] = pack_pair<T>(v[6], v[7]);
  }

 protected:
#if !defined(__CUDACC__)
  /// k in the order of `steps` instructions' sums: one instruction adds its products to the
  /// accumulator one by one.
  static void twin(Acc& c, const A& a, const B& b, Site site) {
    float mine[16];
    widen_registers<T>(a.r, mine);
    widen_registers<T>(b.r, mine + 8);
    const std::byte* slots = self().block->exchange(~0u, mine, sizeof mine, "mma", site);
    const int group = self().lane / 4, pair = 2 * (self().lane % 4);
    // Register j of lane 4g + t: elements 2t, 2t + 1 of row (A) or column (B) g in quarter j.
    const auto held = [&](int line, int t) {
      return reinterpret_cast<const float*>(slots + size_t(4 * line + t) * Block::kSlotBytes);
    };
    for (int k = 0; k < 16; ++k) {
      const int t = k % 8 / 2, e = k % 2, half_k = k / 8;
      const float* a_lane = held(group, t);
      const float b0 = held(pair, t)[8 + 2 * half_k + e],
                  b1 = held(pair + 1, t)[8 + 2 * half_k + e];
      const float b2 = held(pair, t)[8 + 2 * (2 + half_k) + e],
                  b3 = held(pair + 1, t)[8 + 2 * (2 + half_k) + e];
      for (int r = 0; r < 2; ++r) {
        const float x = a_lane[2 * (r + 2 * half_k) + e];
        float* v = c.value + 4 * r;
        v[0] += x * b0, v[1] += x * b1, v[2] += x * b2, v[3] += x * b3;
      }
    }
  }
#endif
};

template <class T>
struct Ampere : QuarterTile<T> {
  static constexpr int kStages = 2;  // tiles under way while one is worked on: cp.async
  using typename QuarterTile<T>::A;
  using typename QuarterTile<T>::B;
  static __device__ __forceinline__ void mma(Acc& c, const A& a, const B& b MOME_SITE) {
#if defined(__CUDACC__)
    step(c.value[0], c.value[1], c.value[4], c.value[5], a, b.r[0], b.r[1]);
    step(c.value[2], c.value[3], c.value[6], c.value[7], a, b.r[2], b.r[3]);
#else
    count_mma(2);
    QuarterTile<T>::twin(c, a, b, site);
#endif
  }

 private:
#if defined(__CUDACC__)
  static __device__ __forceinline__ void step(float& c0, float& c1, float& c2, float& c3,
                                              const A& a, uint32_t b0, uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (std::is_same_v<T, half>)
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
          "{%8,%9}, {%0,%1,%2,%3};\n"
          : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
    else
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
          "{%8,%9}, {%0,%1,%2,%3};\n"
          : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
#else
    __trap();
#endif
  }
#endif
};

template <class T>
struct Turing : QuarterTile<T> {
  static constexpr int kStages = 1;
  using typename QuarterTile<T>::A;
  using typename QuarterTile<T>::B;
  static __device__ __forceinline__ void mma(Acc& c, const A& a, const B& b MOME_SITE) {
#if defined(__CUDACC__)
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      step(c.value[0], c.value[1], c.value[4], c.value[5], a.r[2 * k], a.r[2 * k + 1], b.r[k]);
      step(c.value[2], c.value[3], c.value[6], c.value[7], a.r[2 * k], a.r[2 * k + 1], b.r[2 + k]);
    }
#else
    count_mma(4);
    QuarterTile<T>::twin(c, a, b, site);
#endif
  }

 private:
#if defined(__CUDACC__)
  static __device__ __forceinline__ void step(float& c0, float& c1, float& c2, float& c3,
                                              uint32_t a0, uint32_t a1, uint32_t b0) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a0), "r"(a1), "r"(b0));
#else
    __trap();
#endif
  }
#endif
};

}  // namespace mome::MOME_DEVICE
