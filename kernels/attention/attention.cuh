// Attention forward (FlashAttention-2, Dao 2023, with an additive bias and packed segments). A block owns 64 queries of one
// head of one sequence, each of its four warps 16 of them; keys and values pass through shared memory 64 rows at a time,
// the last tile only as far as its multiple of 16. Softmax is online, in base 2. Nothing of size N x N is stored.
//
// FLOPs 4·N²·d a head; bytes: Q and O once, K and V once a block of 64 queries (from L2 after the first), the bias once a block
// (from L2: it is shared by the batch). At N = 237, d = 64: bound by the tensor cores' feeding, not by memory.
// Best measured fraction of a dense product's rate: not measured yet on a GPU.
#pragma once
#include "kernels/attention/attention_tile.cuh"

namespace mome::MOME_DEVICE {

template <class TileName, int kD, class T>
__global__ void __launch_bounds__((AttentionShape<T, kD>::kThreads), 1)
attention_forward_kernel(AttentionArgs<T> a, bool packed, T* out, int64_t ldo, float* lse) {
  using Tile = Resolved<TileName>;
  if constexpr (!std::is_void_v<Tile>) {
    using Shape = AttentionShape<T, kD>;
    constexpr int kLd = Shape::kLd, kLoop = Shape::kLoopForward, kBlocks = kLoop / 16;
    const AttentionSequence s = a.sequence[blockIdx.x];
    const int head = blockIdx.y, first = blockIdx.z * Shape::kOwn, head_dim = int(a.head_dim);
    const RowList queries = query_rows(s), keys = key_rows(s);
    if (first >= queries.total) return;
    const int lane = lane_index(), warp = threadIdx.x / 32;

    T* q_tile = dynamic_shared<T>();
    T* kv_tile = q_tile + Shape::kOwn * kLd;  // kStages times K and V
    T* scratch = kv_tile + Tile::kStages * 2 * kLoop * kLd + warp * Tile::kScratch;
    const int64_t column = int64_t(head) * head_dim;
    fetch_tile<Shape::kOwn, kD, Shape::kThreads>(q_tile, a.q + column, a.ldq, head_dim, packed,
                                                 [&](int i) { return first + i < queries.total ? queries.row(first + i) : -1; });
    const auto fetch = [&](int t) {
      T* to = kv_tile + t % Tile::kStages * 2 * kLoop * kLd;
      const auto row = [&](int i) { return t * kLoop + i < keys.total ? keys.row(t * kLoop + i) : -1; };
      fetch_tile<kLoop, kD, Shape::kThreads>(to, a.k + column, a.ldk, head_dim, packed, row);
      fetch_tile<kLoop, kD, Shape::kThreads>(to + kLoop * kLd, a.v + column, a.ldv, head_dim, packed, row);
    };

    // This lane's two rows.
    int row[2];
    int position[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int i = first + 16 * warp + Tile::row(lane, r);
      row[r] = i < queries.total ? queries.row(i) : -1;
      position[r] = row[r] >= 0 && a.q_position ? load(a.q_position + row[r]) : 0;
    }
    const bool busy = first + 16 * warp < queries.total;  // a warp without queries only keeps the barriers
    Acc o[kD / 16];
    float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
    for (int d = 0; d < kD / 16; ++d) o[d].clear();

    const int tiles = (keys.total + kLoop - 1) / kLoop;
    if (tiles > 0) fetch(0);
    commit_copies();
    for (int t = 0; t < tiles; ++t) {
      if (Tile::kStages == 2) {
        if (t + 1 < tiles) fetch(t + 1);
        commit_copies();
        wait_copies<1>();
      } else {
        if (t > 0) fetch(t);
        commit_copies();
        wait_copies<0>();
      }
      __syncthreads();
      if (busy) {
        const T* k_tile = kv_tile + t % Tile::kStages * 2 * kLoop * kLd;
        const T* v_tile = k_tile + kLoop * kLd;
        const int left = keys.total - t * kLoop;
        Acc p[kBlocks];
        float tile_top[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          if (16 * b >= left) break;
          dot_rows<Tile, kD>(p[b], q_tile + 16 * warp * kLd, k_tile + 16 * b * kLd);
#pragma unroll
          for (int c = 0; c < 4; ++c) {
            const int j = 16 * b + Tile::col(lane, c);
            const int at = j < left ? key_position(s, t * kLoop + j) : 0;
#pragma unroll
            for (int r = 0; r < 2; ++r) {
              float& x = p[b].value[4 * r + c];
              x *= a.scale * kLog2e;
              if (j >= left || row[r] < 0 || (a.causal && at > position[r])) x = -INFINITY;
              else if (a.bias) x += kLog2e * load(a.bias + (head * a.bias_size + position[r]) * a.bias_size + at);
              tile_top[r] = fmaxf(tile_top[r], x);
            }
          }
        }
        float shrink[2], base[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          tile_top[r] = fmaxf(tile_top[r], __shfl_xor_sync(kFullMask, tile_top[r], Tile::kRowMask0));
          tile_top[r] = fmaxf(tile_top[r], __shfl_xor_sync(kFullMask, tile_top[r], Tile::kRowMask1));
          const float next = fmaxf(top[r], tile_top[r]);
          base[r] = next == -INFINITY ? 0.0f : next;  // no key seen yet: every exponential below is 0
          shrink[r] = exp2f(top[r] - base[r]);
          sum[r] *= shrink[r];
          top[r] = next;
        }
#pragma unroll
        for (int d = 0; d < kD / 16; ++d)
#pragma unroll
          for (int i = 0; i < 8; ++i) o[d].value[i] *= shrink[i / 4];
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          if (16 * b >= left) break;
#pragma unroll
          for (int i = 0; i < 8; ++i) sum[i / 4] += p[b].value[i] = exp2f(p[b].value[i] - base[i / 4]);
          typename Tile::A weights;
          Tile::to_a(weights, p[b], scratch);
          add_product<Tile, kD>(o, weights, v_tile + 16 * b * kLd);
        }
      }
      __syncthreads();
    }

    if (!busy) return;
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum[r] += __shfl_xor_sync(kFullMask, sum[r], Tile::kRowMask0);
      sum[r] += __shfl_xor_sync(kFullMask, sum[r], Tile::kRowMask1);
      factor[r] = sum[r] > 0 ? 1.0f / sum[r] : 0.0f;
      if (row[r] >= 0 && Tile::col(lane, 0) == 0)
        store(lse + int64_t(row[r]) * a.heads + head, sum[r] > 0 ? (top[r] + log2f(sum[r])) * kLn2 : -INFINITY);
    }
    store_rows<Tile, kD>(out + column, ldo, head_dim, row, factor, o);
  }
}

}  // namespace mome::MOME_DEVICE
