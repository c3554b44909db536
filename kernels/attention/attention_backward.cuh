// Attention backward without atomics, in three kernels: delta = rowsum(dO * O); dK and dV, where a block owns 64 keys and walks
// over the queries; dQ, where a block owns 64 queries and walks over the keys. Scores are made again from Q, K and the saved
// log-sum-exp.
//
//   P = exp(S - lse),  dP = dO V^T,  dS = P * (dP - delta),  dV = P^T dO,  dK = scale dS^T Q,  dQ = scale dS K
//
// dkv works on transposed scores (S^T = K Q^T), so that P^T and dS^T turn into operands of the next product in registers.
// FLOPs 8·N²·d and 6·N²·d a head, against 10·N²·d of one kernel with atomics on dQ: the price of a fixed order of sums and of no
// conversion pass. Bytes: own rows once, the other side's once a block of 64 (from L2).
// Best measured fraction of a dense product's rate: not measured yet on a GPU.
#pragma once
#include "kernels/attention/attention_tile.cuh"

namespace mome::MOME_DEVICE {

/// delta[sequence, head, query]: one warp a query and head. Reads dO and O once.
template <class T>
__global__ void attention_delta_kernel(AttentionArgs<T> a, const T* out, const T* dout, int64_t ldo, float* delta) {
  const AttentionSequence s = a.sequence[blockIdx.x];
  const RowList queries = query_rows(s);
  const int head = blockIdx.y, i = blockIdx.z * (blockDim.x / 32) + threadIdx.x / 32;
  if (i >= queries.total) return;
  const int64_t at = queries.row(i) * ldo + int64_t(head) * a.head_dim;
  float sum = 0;
  for (int c = threadIdx.x % 32; c < a.head_dim; c += 32) sum += to_float(load(out + at + c)) * to_float(load(dout + at + c));
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) store(delta + (int64_t(blockIdx.x) * a.heads + head) * a.max_q + i, sum);
}

/// What a tile of queries brings along: lse in base 2 (+inf where P must be 0), delta, position.
struct QueryFacts {
  float* lse2;
  float* delta;
  int* position;
};

template <class T>
__device__ __forceinline__ void fetch_facts(const QueryFacts& facts, int slot, const AttentionArgs<T>& a, int sequence, int head, int i, int row,
                                            const float* lse, const float* delta) {
  float l = INFINITY, d = 0;
  int position = 0;
  if (row >= 0) {
    l = load(lse + int64_t(row) * a.heads + head) * kLog2e;
    if (l == -INFINITY) l = INFINITY;  // a query that saw no key
    d = load(delta + (int64_t(sequence) * a.heads + head) * a.max_q + i);
    if (a.q_position) position = load(a.q_position + row);
  }
  facts.lse2[slot] = l, facts.delta[slot] = d, facts.position[slot] = position;
}

template <class TileName, int kD, class T>
__global__ void __launch_bounds__((AttentionShape<T, kD>::kThreads), 1)
attention_backward_kv_kernel(AttentionArgs<T> a, bool packed, const T* dout, int64_t ldo, const float* lse, const float* delta, T* dk, T* dv) {
  using Tile = Resolved<TileName>;
  if constexpr (!std::is_void_v<Tile>) {
    using Shape = AttentionShape<T, kD>;
    constexpr int kLd = Shape::kLd, kLoop = Shape::kLoopBackward;
    const AttentionSequence s = a.sequence[blockIdx.x];
    const int head = blockIdx.y, first = blockIdx.z * Shape::kOwn, head_dim = int(a.head_dim);
    const RowList queries = query_rows(s), keys = key_rows(s);
    if (first >= keys.total) return;
    const int lane = lane_index(), warp = threadIdx.x / 32;

    T* k_tile = dynamic_shared<T>();
    T* v_tile = k_tile + Shape::kOwn * kLd;
    T* q_tile = v_tile + Shape::kOwn * kLd;
    T* do_tile = q_tile + kLoop * kLd;
    T* scratch = do_tile + kLoop * kLd + warp * Tile::kScratch;
    float* words = reinterpret_cast<float*>(do_tile + kLoop * kLd + Shape::kWarps * Tile::kScratch);
    const QueryFacts facts{words, words + kLoop, reinterpret_cast<int*>(words + 2 * kLoop)};
    const int64_t column = int64_t(head) * head_dim;
    const auto own = [&](int i) { return first + i < keys.total ? keys.row(first + i) : -1; };
    fetch_tile<Shape::kOwn, kD, Shape::kThreads>(k_tile, a.k + column, a.ldk, head_dim, packed, own);
    fetch_tile<Shape::kOwn, kD, Shape::kThreads>(v_tile, a.v + column, a.ldv, head_dim, packed, own);

    int row[2], position[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int j = first + 16 * warp + Tile::row(lane, r);
      row[r] = j < keys.total ? keys.row(j) : -1;
      position[r] = j < keys.total ? key_position(s, j) : 0;
    }
    const bool busy = first + 16 * warp < keys.total;
    Acc dk_sum[kD / 16], dv_sum[kD / 16];
#pragma unroll
    for (int d = 0; d < kD / 16; ++d) dk_sum[d].clear(), dv_sum[d].clear();

    for (int t = 0; t < queries.total; t += kLoop) {
      const auto row_of = [&](int i) { return t + i < queries.total ? queries.row(t + i) : -1; };
      fetch_tile<kLoop, kD, Shape::kThreads>(q_tile, a.q + column, a.ldq, head_dim, packed, row_of);
      fetch_tile<kLoop, kD, Shape::kThreads>(do_tile, dout + column, ldo, head_dim, packed, row_of);
      for (int i = threadIdx.x; i < kLoop; i += Shape::kThreads) fetch_facts(facts, i, a, blockIdx.x, head, t + i, row_of(i), lse, delta);
      commit_copies();
      wait_copies<0>();
      __syncthreads();
      if (busy) {
#pragma unroll 1
        for (int b = 0; b < kLoop / 16; ++b) {
          if (t + 16 * b >= queries.total) break;
          Acc p, dp;  // transposed: rows are keys, columns queries
          dot_rows<Tile, kD>(p, k_tile + 16 * warp * kLd, q_tile + 16 * b * kLd);
          dot_rows<Tile, kD>(dp, v_tile + 16 * warp * kLd, do_tile + 16 * b * kLd);
#pragma unroll
          for (int c = 0; c < 4; ++c) {
            const int i = 16 * b + Tile::col(lane, c);
            const float lse2 = facts.lse2[i], dlt = facts.delta[i];
            const int at = facts.position[i];
#pragma unroll
            for (int r = 0; r < 2; ++r) {
              float& x = p.value[4 * r + c];
              float& g = dp.value[4 * r + c];
              x = x * (a.scale * kLog2e) - lse2;
              if (row[r] < 0 || lse2 == INFINITY || (a.causal && position[r] > at)) x = -INFINITY;
              else if (a.bias) x += kLog2e * load(a.bias + (head * a.bias_size + at) * a.bias_size + position[r]);
              x = exp2f(x);
              g = x * (g - dlt);
            }
          }
          typename Tile::A operand;
          Tile::to_a(operand, p, scratch);
          add_product<Tile, kD>(dv_sum, operand, do_tile + 16 * b * kLd);
          Tile::to_a(operand, dp, scratch);
          add_product<Tile, kD>(dk_sum, operand, q_tile + 16 * b * kLd);
        }
      }
      __syncthreads();
    }
    if (!busy) return;
    const float one[2] = {1, 1}, scale[2] = {a.scale, a.scale};
    store_rows<Tile, kD>(dv + column, a.ldv, head_dim, row, one, dv_sum);
    store_rows<Tile, kD>(dk + column, a.ldk, head_dim, row, scale, dk_sum);
  }
}

template <class TileName, int kD, class T>
__global__ void __launch_bounds__((AttentionShape<T, kD>::kThreads), 1)
attention_backward_q_kernel(AttentionArgs<T> a, bool packed, const T* dout, int64_t ldo, const float* lse, const float* delta, T* dq) {
  using Tile = Resolved<TileName>;
  if constexpr (!std::is_void_v<Tile>) {
    using Shape = AttentionShape<T, kD>;
    constexpr int kLd = Shape::kLd, kLoop = Shape::kLoopBackward;
    const AttentionSequence s = a.sequence[blockIdx.x];
    const int head = blockIdx.y, first = blockIdx.z * Shape::kOwn, head_dim = int(a.head_dim);
    const RowList queries = query_rows(s), keys = key_rows(s);
    if (first >= queries.total) return;
    const int lane = lane_index(), warp = threadIdx.x / 32;

    T* q_tile = dynamic_shared<T>();
    T* do_tile = q_tile + Shape::kOwn * kLd;
    T* k_tile = do_tile + Shape::kOwn * kLd;
    T* v_tile = k_tile + kLoop * kLd;
    T* scratch = v_tile + kLoop * kLd + warp * Tile::kScratch;
    const int64_t column = int64_t(head) * head_dim;
    const auto own = [&](int i) { return first + i < queries.total ? queries.row(first + i) : -1; };
    fetch_tile<Shape::kOwn, kD, Shape::kThreads>(q_tile, a.q + column, a.ldq, head_dim, packed, own);
    fetch_tile<Shape::kOwn, kD, Shape::kThreads>(do_tile, dout + column, ldo, head_dim, packed, own);

    int row[2], position[2];
    float lse2[2], dlt[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int i = first + 16 * warp + Tile::row(lane, r);
      row[r] = i < queries.total ? queries.row(i) : -1;
      fetch_facts(QueryFacts{lse2, dlt, position}, r, a, blockIdx.x, head, i, row[r], lse, delta);
    }
    const bool busy = first + 16 * warp < queries.total;
    Acc dq_sum[kD / 16];
#pragma unroll
    for (int d = 0; d < kD / 16; ++d) dq_sum[d].clear();

    for (int t = 0; t < keys.total; t += kLoop) {
      const auto row_of = [&](int j) { return t + j < keys.total ? keys.row(t + j) : -1; };
      fetch_tile<kLoop, kD, Shape::kThreads>(k_tile, a.k + column, a.ldk, head_dim, packed, row_of);
      fetch_tile<kLoop, kD, Shape::kThreads>(v_tile, a.v + column, a.ldv, head_dim, packed, row_of);
      commit_copies();
      wait_copies<0>();
      __syncthreads();
      if (busy) {
#pragma unroll 1
        for (int b = 0; b < kLoop / 16; ++b) {
          if (t + 16 * b >= keys.total) break;
          Acc p, ds;
          dot_rows<Tile, kD>(p, q_tile + 16 * warp * kLd, k_tile + 16 * b * kLd);
          dot_rows<Tile, kD>(ds, do_tile + 16 * warp * kLd, v_tile + 16 * b * kLd);
#pragma unroll
          for (int c = 0; c < 4; ++c) {
            const int j = t + 16 * b + Tile::col(lane, c);
            const int at = j < keys.total ? key_position(s, j) : 0;
#pragma unroll
            for (int r = 0; r < 2; ++r) {
              float x = p.value[4 * r + c] * (a.scale * kLog2e) - lse2[r];
              if (j >= keys.total || lse2[r] == INFINITY || (a.causal && at > position[r])) x = -INFINITY;
              else if (a.bias) x += kLog2e * load(a.bias + (head * a.bias_size + position[r]) * a.bias_size + at);
              ds.value[4 * r + c] = exp2f(x) * (ds.value[4 * r + c] - dlt[r]);
            }
          }
          typename Tile::A operand;
          Tile::to_a(operand, ds, scratch);
          add_product<Tile, kD>(dq_sum, operand, k_tile + 16 * b * kLd);
        }
      }
      __syncthreads();
    }
    if (!busy) return;
    const float scale[2] = {a.scale, a.scale};
    store_rows<Tile, kD>(dq + column, a.ldq, head_dim, row, scale, dq_sum);
  }
}

}  // namespace mome::MOME_DEVICE
