// Volta's tile (mma.cuh). mma.m8n8k4 is four independent products 8x8x4, one a quad-pair (lanes 4q
// … 4q+3 and 16 more, q = 0 … 3). They are arranged as 2x2: with hi = lane / 16, rh = q % 2 and ch
// = q / 2, row x of a quad-pair's product is row x % 4 + 4 rh + 8 (x / 4) of the 16x16 tile, and
// its column likewise with ch. So eight neighbouring lanes read eight different rows of A, which an
// odd stride of 16 bytes spreads over all banks, and columns pair up as in Ampere's layout.
//
// No ldmatrix: a lane loads its own row, 16 elements (load_a, load_b: two 16-byte loads), or its
// four neighbouring columns of every fourth row (load_a_t, load_b_t: four 8-byte loads); the
// instruction takes either order, so nothing is transposed in registers. Four instructions are one
// k of 16.
//
// Source: PTX ISA 8.7, "Matrix Fragments for mma.m8n8k4 with .f16"; NVIDIA CuTe, mma_traits_sm70.
#pragma once
#include "kernels/arch/mma.cuh"

namespace mome::MOME_DEVICE {

template <class T>
struct Volta {
  using Element = T;
  static constexpr int kRowMask0 = 2, kRowMask1 = 8, kScratch = 0, kStages = 1;
  static __device__ __forceinline__ int row(int lane, int r) {
    return (lane & 1) + 2 * r + (lane & 4) + lane / 16 * 8;
  }
  static __device__ __forceinline__ int col(int lane, int c) {
    return (lane & 2) + (c & 1) + (lane & 8) / 2 + 8 * (c >> 1);
  }

  /// Registers 2j, 2j + 1: the four elements for k = 4j … 4j + 3 of this lane's row (or column), or
  /// four neighbours for the k = 4j + lane % 4 if kTransposed.
  template <bool kTransposed>
  struct Fragment {
    uint32_t r[8];
  };
  // A type each, so that mma() knows which form of the instruction they need.
  struct A : Fragment<false> {};
  struct At : Fragment<true> {};
  struct B : Fragment<false> {};
  struct Bt : Fragment<true> {};

  static __device__ __forceinline__ void load_a(A& a, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    line(a.r, p + ((l & 3) + (l & 4) + l / 16 * 8) * ld MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_b(B& b, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    line(b.r, p + ((l & 3) + (l & 8) / 2 + l / 16 * 8) * ld MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_a_t(At& a, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    across(a.r, p + (l & 3) * ld + (l & 4) + l / 16 * 8, ld MOME_SITE_PASS);
  }
  static __device__ __forceinline__ void load_b_t(Bt& b, const T* p, int ld MOME_SITE) {
    const int l = lane_index();
    across(b.r, p + (l & 3) * ld + (l & 8) / 2 + l / 16 * 8, ld MOME_SITE_PASS);
  }

  /// A lane of A holds a whole row; the accumulator's row lies in four lanes, with another row
  /// beside it. Lanes that differ in bit 1 exchange the row that is the other's, then lanes that
  /// differ in bit 3 exchange what they have: 6 shuffles.
  static __device__ __forceinline__ void to_a(A& a, const Acc& c, T* MOME_SITE) {
    const int l = lane_index();
    const bool second = l & 2;  // this lane's row of A is its second row of the accumulator
    uint32_t near[2][2];        // [bit 1 of the holder][columns / 8]: pairs of this lane's row
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t row0 = pack_pair<T>(c.value[2 * h], c.value[2 * h + 1]);
      const uint32_t row1 = pack_pair<T>(c.value[4 + 2 * h], c.value[4 + 2 * h + 1]);
      const uint32_t keep = second ? row1 : row0, give = second ? row0 : row1;
      const uint32_t got = exchange(give, 2 MOME_SITE_PASS);
      near[0][h] = second ? got : keep;
      near[1][h] = second ? keep : got;
    }
    const bool upper = l & 8;  // holds columns 4-7 and 12-15
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        const uint32_t other = exchange(near[p][h], 8 MOME_SITE_PASS);
        a.r[4 * h + p] = upper ? other : near[p][h];
        a.r[4 * h + 2 + p] = upper ? near[p][h] : other;
      }
  }

  template <class FragmentA, class FragmentB>
  static __device__ __forceinline__ void mma(Acc& c, const FragmentA& a,
                                             const FragmentB& b MOME_SITE) {
    constexpr bool kAt = std::is_same_v<FragmentA, At>, kBt = std::is_same_v<FragmentB, Bt>;
#if defined(__CUDACC__)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      step<kAt, kBt>(c.value, a.r[2 * j], a.r[2 * j + 1], b.r[2 * j], b.r[2 * j + 1]);
#else
    count_mma(4);
    twin<kAt, kBt>(c, a.r, b.r, site);
#endif
  }

 private:
  static __device__ __forceinline__ uint32_t exchange(uint32_t v, int mask MOME_SITE) {
#if defined(__CUDACC__)
    return __shfl_xor_sync(kFullMask, v, mask);
#else
    return __shfl_xor_sync(kFullMask, v, mask, 32, site);
#endif
  }
  static __device__ __forceinline__ void line(uint32_t (&r)[8], const T* p MOME_SITE) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const Pack<uint32_t, 4> v =
          load_shared<4>(reinterpret_cast<const uint32_t*>(p + 8 * h) MOME_SITE_PASS);
#pragma unroll
      for (int i = 0; i < 4; ++i) r[4 * h + i] = v[i];
    }
  }
  static __device__ __forceinline__ void across(uint32_t (&r)[8], const T* p, int ld MOME_SITE) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Pack<uint32_t, 2> v =
          load_shared<2>(reinterpret_cast<const uint32_t*>(p + 4 * j * ld) MOME_SITE_PASS);
      r[2 * j] = v[0], r[2 * j + 1] = v[1];
    }
  }

#if defined(__CUDACC__)
  // The instruction's outputs, by (row pair, column half, column): the accumulator's value[r*4 + c]
  // is output (c & 1) + 2 r + 4 (c >> 1).
#define MOME_MMA884(A_ORDER, B_ORDER)                                                    \
  asm volatile("mma.sync.aligned.m8n8k4." A_ORDER "." B_ORDER                            \
               ".f32.f16.f16.f32 {%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9}, "                   \
               "{%10,%11}, {%0,%1,%2,%3,%4,%5,%6,%7};\n"                                 \
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[4]), "+f"(c[5]), "+f"(c[2]), "+f"(c[3]), \
                 "+f"(c[6]), "+f"(c[7])                                                  \
               : "r"(a0), "r"(a1), "r"(b0), "r"(b1))
  template <bool kAt, bool kBt>
  static __device__ __forceinline__ void step(float (&c)[8], uint32_t a0, uint32_t a1, uint32_t b0,
                                              uint32_t b1) {
    if constexpr (!kAt && !kBt) MOME_MMA884("row", "col");
    if constexpr (!kAt && kBt) MOME_MMA884("row", "row");
    if constexpr (kAt && !kBt) MOME_MMA884("col", "col");
    if constexpr (kAt && kBt) MOME_MMA884("col", "row");
  }
#undef MOME_MMA884
#else
  /// The instruction as the PTX manual states it, once for each k of 4; a quad-pair's lanes see one
  /// another alone.
  template <bool kAt, bool kBt>
  static void twin(Acc& c, const uint32_t (&a)[8], const uint32_t (&b)[8], Site site) {
    float mine[32];
    widen_registers<T>(a, mine);
    widen_registers<T>(b, mine + 16);
    const std::byte* slots = self().block->exchange(~0u, mine, sizeof mine, "mma", site);
    const int lane = self().lane, quad = lane & 12;
    // Element (x, k) of an 8x4 operand: row order, lane x % 4 + 16 (x / 4) holds row x; column
    // order, lane k holds rows 0-3 of column k and lane k + 16 rows 4-7.
    const auto element = [&](int x, int k, bool by_column, int operand, int j) {
      const int from = quad + 16 * (x / 4) + (by_column ? k : x % 4);
      const float* held = reinterpret_cast<const float*>(slots + size_t(from) * Block::kSlotBytes);
      return held[16 * operand + 4 * j + (by_column ? x % 4 : k)];
    };
    for (int j = 0; j < 4; ++j)
      for (int k = 0; k < 4; ++k) {
        float x[2], y[4];
        for (int r = 0; r < 2; ++r)
          x[r] = element((lane & 1) + 2 * r + lane / 16 * 4, k, kAt, 0, j);
        for (int q = 0; q < 4; ++q)
          y[q] = element((lane & 2) + (q & 1) + 4 * (q >> 1), k, kBt, 1, j);
        for (int r = 0; r < 2; ++r)
          for (int q = 0; q < 4; ++q) c.value[4 * r + q] += x[r] * y[q];
      }
  }
#endif
};

}  // namespace mome::MOME_DEVICE
