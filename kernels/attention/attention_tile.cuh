// What the attention kernels share: a sequence's rows as one list, tiles of rows in shared memory, sizes of tiles.
#pragma once
#include "kernels/arch/mma_native.cuh"
#include "kernels/attention/attention.h"

namespace mome::MOME_DEVICE {

/// Sizes for storage T and a head dim padded to kD, so that every kernel fits Turing's 64 KiB of shared memory.
template <class T, int kD>
struct AttentionShape {
  static constexpr bool kWide = sizeof(T) == 4;
  static constexpr int kWarps = kWide && kD == 128 ? 2 : 4;  // of 16 rows each: the rows that a block owns
  static constexpr int kOwn = 16 * kWarps, kThreads = 32 * kWarps;
  static constexpr int kLoopForward = kD == 128 ? 32 : kWide ? 32 : 64;  // rows of the other side that are in shared memory at a time
  static constexpr int kLoopBackward = kWide ? (kD == 128 ? 16 : 32) : (kD == 128 ? 32 : 64);
  static constexpr int kLd = kD + 16 / int(sizeof(T));  // an odd number of 16 bytes: rows spread over all banks
};

/// Rows of a sequence's two segments as one list.
struct RowList {
  int begin0, begin1, count0, total;
  __device__ __forceinline__ int row(int i) const { return i < count0 ? begin0 + i : begin1 + i - count0; }
};
__device__ __forceinline__ RowList query_rows(const AttentionSequence& s) {
  return {s.q_begin[0], s.q_begin[1], s.q_count[0], s.q_count[0] + s.q_count[1]};
}
__device__ __forceinline__ RowList key_rows(const AttentionSequence& s) {
  return {s.k_begin[0], s.k_begin[1], s.k_count[0], s.k_count[0] + s.k_count[1]};
}
__device__ __forceinline__ int key_position(const AttentionSequence& s, int j) {
  return j < s.k_count[0] ? s.k_position[0] + j : s.k_position[1] + j - s.k_count[0];
}

/// Copies kRows rows to shared memory, row i from `row_of(i)` (below 0: zeros), columns from head_dim to kD zero. With
/// `packed` (pointer, stride and head_dim are multiples of 16 bytes) by asynchronous copies: commit and wait follow.
template <int kRows, int kD, int kThreads, class T, class RowOf>
__device__ __forceinline__ void fetch_tile(T* to, const T* from, int64_t ld, int head_dim, bool packed, RowOf row_of) {
  constexpr int kLd = AttentionShape<T, kD>::kLd, kVector = kPack<T>;
  if (packed) {
    for (int i = threadIdx.x; i < kRows * (kD / kVector); i += kThreads) {
      const int r = i / (kD / kVector), c = i % (kD / kVector) * kVector;
      const int row = row_of(r);
      T* place = to + r * kLd + c;
      if (row >= 0 && c < head_dim) {
        copy_async(place, from + row * ld + c);
      } else {
        Pack<T, kVector> zero;
#pragma unroll
        for (int k = 0; k < kVector; ++k) zero[k] = from_float<T>(0.0f);
        store_shared<kVector>(place, zero);
      }
    }
  } else {
    for (int i = threadIdx.x; i < kRows * kD; i += kThreads) {
      const int r = i / kD, c = i % kD;
      const int row = row_of(r);
      Pack<T, 1> v;
      v[0] = row >= 0 && c < head_dim ? load(from + row * ld + c) : from_float<T>(0.0f);
      store_shared<1>(to + r * kLd + c, v);
    }
  }
}

/// Stores a warp's 16 x kD accumulators, times `factor` of each of a lane's two rows, to the rows row[0], row[1] (below 0: none).
template <class Tile, int kD, class T>
__device__ __forceinline__ void store_rows(T* to, int64_t ld, int head_dim, const int (&row)[2], const float (&factor)[2], const Acc (&acc)[kD / 16]) {
  const int lane = lane_index();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (row[r] < 0) continue;
#pragma unroll
    for (int d = 0; d < kD / 16; ++d)
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const int c = 16 * d + Tile::col(lane, 2 * pair);
        T* place = to + row[r] * ld + c;
        Pack<T, 2> v;
        v[0] = from_float<T>(acc[d].value[4 * r + 2 * pair] * factor[r]);
        v[1] = from_float<T>(acc[d].value[4 * r + 2 * pair + 1] * factor[r]);
        if (c + 1 < head_dim && (ld & 1) == 0 && reinterpret_cast<uintptr_t>(place) % (2 * sizeof(T)) == 0) {
          store_pack<2>(place, v);
        } else {
          if (c < head_dim) store(place, v[0]);
          if (c + 1 < head_dim) store(place + 1, v[1]);
        }
      }
  }
}

/// c = A B over the padded head dim; A's 16 rows and B's 16 rows lie in shared memory, row by row.
template <class Tile, int kD, class T>
__device__ __forceinline__ void dot_rows(Acc& c, const T* a_rows, const T* b_rows) {
  constexpr int kLd = AttentionShape<T, kD>::kLd;
  c.clear();
  [[maybe_unused]] constexpr int kUnroll = sizeof(T) == 4 ? 1 : kD / 16;  // Fma's loads would all be hoisted, and spill
#pragma unroll kUnroll
  for (int k = 0; k < kD; k += 16) {
    typename Tile::A a;
    typename Tile::B b;
    Tile::load_a(a, a_rows + k, kLd);
    Tile::load_b(b, b_rows + k, kLd);
    Tile::mma(c, a, b);
  }
}

/// acc[16, kD] += A[16, 16] * rows[16, kD], the rows in shared memory.
template <class Tile, int kD, class T>
__device__ __forceinline__ void add_product(Acc (&acc)[kD / 16], const typename Tile::A& a, const T* rows) {
#pragma unroll
  for (int d = 0; d < kD / 16; ++d) {
    typename Tile::Bt b;
    Tile::load_b_t(b, rows + 16 * d, AttentionShape<T, kD>::kLd);
    Tile::mma(acc[d], a, b);
  }
}

inline constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// Bytes of shared memory: `rows` rows of tiles, scratch of Acc -> A for each warp, and `words` floats.
template <class T, int kD>
constexpr size_t attention_shared_bytes(int rows, int words) {
  const int scratch = sizeof(T) == 4 ? AttentionShape<T, kD>::kWarps * 16 * 20 : 0;  // Fma's kScratch
  return size_t(rows * AttentionShape<T, kD>::kLd + scratch) * sizeof(T) + size_t(words) * sizeof(float);
}

}  // namespace mome::MOME_DEVICE
