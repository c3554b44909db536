// The gradient of the bias matrix: dbias[h, p, q] = sum over the sequences of dS at query position p and key position q.
//
// A block owns 64 query positions x 64 (or fewer) key positions of one head and walks over a slice of the sequences: rows are
// put at their position, scores are made again, and dS adds up in registers, so that no sum needs an atomic and none has the
// size [B, H, N, N]. Each slice leaves its own matrix; a second kernel adds the slices in order.
// FLOPs 4·N²·d a head and sequence; bytes: slices·H·M²·4 written and read once.
// Best measured fraction of a dense product's rate: not measured yet on a GPU.
#pragma once
#include "kernels/attention/attention_backward.cuh"

namespace mome::MOME_DEVICE {

template <class TileName, int kD, class T>
__global__ void __launch_bounds__((AttentionShape<T, kD>::kThreads), 1)
attention_backward_bias_kernel(AttentionArgs<T> a, bool packed, const T* dout, int64_t ldo, const float* lse, const float* delta, int per_slice,
                               int key_tiles, float* slices) {
  using Tile = Resolved<TileName>;
  if constexpr (!std::is_void_v<Tile>) {
    using Shape = AttentionShape<T, kD>;
    constexpr int kLd = Shape::kLd, kKeys = Shape::kLoopBackward, kBlocks = kKeys / 16;
    const int head = blockIdx.y, slice = blockIdx.z, head_dim = int(a.head_dim), size = int(a.bias_size);
    const int q_first = int(blockIdx.x) / key_tiles * Shape::kOwn, k_first = int(blockIdx.x) % key_tiles * kKeys;
    const int lane = lane_index(), warp = threadIdx.x / 32;

    T* q_tile = dynamic_shared<T>();
    T* do_tile = q_tile + Shape::kOwn * kLd;
    T* k_tile = do_tile + Shape::kOwn * kLd;
    T* v_tile = k_tile + kKeys * kLd;
    float* words = reinterpret_cast<float*>(v_tile + kKeys * kLd);
    const QueryFacts facts{words, words + Shape::kOwn, reinterpret_cast<int*>(words + 2 * Shape::kOwn)};
    int* slot = reinterpret_cast<int*>(words + 3 * Shape::kOwn);  // query at a position of the tile, -1: none
    int* any = slot + Shape::kOwn;
    const int64_t column = int64_t(head) * head_dim;
    Acc sum[kBlocks];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) sum[b].clear();

    const int begin = slice * per_slice;
    for (int n = begin; n < begin + per_slice && n < a.sequences; ++n) {
      const AttentionSequence s = a.sequence[n];
      const RowList queries = query_rows(s), keys = key_rows(s);
      // Key j stands at one run of positions a segment: which key is at a position needs no search.
      const auto key_at = [&](int position) {
        const int text = position - s.k_position[0], image = position - s.k_position[1];
        if (text >= 0 && text < s.k_count[0]) return text;
        return image >= 0 && image < s.k_count[1] ? s.k_count[0] + image : -1;
      };
      for (int i = threadIdx.x; i < Shape::kOwn; i += Shape::kThreads) slot[i] = -1;
      if (threadIdx.x == 0) *any = 0;
      __syncthreads();
      for (int i = threadIdx.x; i < queries.total; i += Shape::kThreads) {
        const int at = load(a.q_position + queries.row(i)) - q_first;
        if (at >= 0 && at < Shape::kOwn) slot[at] = i, *any = 1;
      }
      __syncthreads();
      if (*any) {  // the same for all threads
        const auto query_row = [&](int i) { return slot[i] >= 0 ? queries.row(slot[i]) : -1; };
        const auto key_row = [&](int j) {
          const int key = k_first + j < size ? key_at(k_first + j) : -1;
          return key >= 0 ? keys.row(key) : -1;
        };
        fetch_tile<Shape::kOwn, kD, Shape::kThreads>(q_tile, a.q + column, a.ldq, head_dim, packed, query_row);
        fetch_tile<Shape::kOwn, kD, Shape::kThreads>(do_tile, dout + column, ldo, head_dim, packed, query_row);
        fetch_tile<kKeys, kD, Shape::kThreads>(k_tile, a.k + column, a.ldk, head_dim, packed, key_row);
        fetch_tile<kKeys, kD, Shape::kThreads>(v_tile, a.v + column, a.ldv, head_dim, packed, key_row);
        for (int i = threadIdx.x; i < Shape::kOwn; i += Shape::kThreads) fetch_facts(facts, i, a, n, head, slot[i], query_row(i), lse, delta);
        commit_copies();
        wait_copies<0>();
        __syncthreads();
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          Acc p, dp;
          dot_rows<Tile, kD>(p, q_tile + 16 * warp * kLd, k_tile + 16 * b * kLd);
          dot_rows<Tile, kD>(dp, do_tile + 16 * warp * kLd, v_tile + 16 * b * kLd);
#pragma unroll
          for (int c = 0; c < 4; ++c) {
            const int at = k_first + 16 * b + Tile::col(lane, c);
            const bool there = at < size && key_at(at) >= 0;
#pragma unroll
            for (int r = 0; r < 2; ++r) {
              const int i = 16 * warp + Tile::row(lane, r);
              if (!there || facts.lse2[i] == INFINITY || (a.causal && at > q_first + i)) continue;
              const float x = p.value[4 * r + c] * (a.scale * kLog2e) - facts.lse2[i] +
                              kLog2e * load(a.bias + (int64_t(head) * size + q_first + i) * size + at);
              sum[b].value[4 * r + c] += exp2f(x) * (dp.value[4 * r + c] - facts.delta[i]);
            }
          }
        }
      }
      // The two barriers above stand between this sequence's last read of a tile and the next one's first write.
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b)
#pragma unroll
      for (int c = 0; c < 4; ++c)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int p = q_first + 16 * warp + Tile::row(lane, r), q = k_first + 16 * b + Tile::col(lane, c);
          if (p < size && q < size) store(slices + ((int64_t(slice) * a.heads + head) * size + p) * size + q, sum[b].value[4 * r + c]);
        }
  }
}

/// dbias += the slices, in order.
static __global__ void add_bias_slices_kernel(int64_t count, int slices, const float* parts, float* dbias) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
  for (int k = 0; k < slices; ++k) sum += load(parts + k * count + i);
  store(dbias + i, load(dbias + i) + sum);
}

}  // namespace mome::MOME_DEVICE
