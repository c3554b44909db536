// Model, per element of s bytes: reads x, writes y, 2s bytes; a quarter of a Philox call (10 rounds
// of 2 wide multiplications, 100 integer operations a call, so 25 an element). Lanes of 16 counters
// make the compiler vectorise it; storing a mask instead would cost traffic in both directions.
#include <algorithm>
#include <cassert>

#include "kernels/common/parallel.h"
#include "kernels/dropout/draws.h"
#include "kernels/dropout/dropout.h"

namespace mome {
namespace {

constexpr int kLanes = 16;           // Philox calls side by side
constexpr int kBlock = 4 * kLanes;   // words of a block
constexpr int64_t kGrain = 1 << 14;  // elements of a chunk, about

/// Words of the calls index … index + kLanes - 1: word w of call l at out[4 l + w]. Equal to
/// philox().
void philox_lanes(uint64_t seed, uint64_t step, Purpose purpose, uint64_t index, uint32_t* out) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  const uint32_t c2_start = uint32_t(step);
  const uint32_t c3_start = uint32_t(purpose) | (uint32_t(step >> 32) << 8);
  for (int l = 0; l < kLanes; ++l) {
    c0[l] = uint32_t(index + l);
    c1[l] = uint32_t((index + l) >> 32);
    c2[l] = c2_start;
    c3[l] = c3_start;
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[l];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2[l];
      c0[l] = uint32_t(p1 >> 32) ^ c1[l] ^ k0;
      c1[l] = uint32_t(p1);
      c2[l] = uint32_t(p0 >> 32) ^ c3[l] ^ k1;
      c3[l] = uint32_t(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int l = 0; l < kLanes; ++l) {
    out[4 * l] = c0[l];
    out[4 * l + 1] = c1[l];
    out[4 * l + 2] = c2[l];
    out[4 * l + 3] = c3[l];
  }
}

// Takes its operands by value: see kernels/common/column_reduce.h.
template <class T>
void apply(int64_t n, const uint32_t* word, uint32_t threshold, T scale, const T* x, T* y) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const T kept = x[j] * scale;  // loaded in any case, so that the choice needs no branch
    y[j] = (word[j] >> 8) < threshold ? T(0) : kept;
  }
}

}  // namespace

template <class T, class Queue>
void dropout(Queue&, int64_t rows, int64_t width, const int64_t* row, const T* x, double p,
             uint64_t seed, uint64_t step, uint64_t stream, T* y) {
  assert(p >= 0 && p < 1);
  const uint32_t threshold = drop_below(p);
  const T scale = T(1 / (1 - p));
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
  parallel_chunks(rows, grain, [&](int64_t begin, int64_t end) {
    if (threshold == 0) {
      if (y != x) std::copy(x + begin * width, x + end * width, y + begin * width);
      return;
    }
    uint32_t word[kBlock];
    for (int64_t r = begin; r < end; ++r) {
      const uint64_t call = row_call(stream, row ? row[r] : r, width);
      for (int64_t c = 0; c < width; c += kBlock) {
        philox_lanes(seed, step, Purpose::kDropout, call + uint64_t(c) / 4, word);
        const int64_t n = std::min<int64_t>(kBlock, width - c);
        apply(n, word, threshold, scale, x + r * width + c, y + r * width + c);
      }
    }
  });
}

template <class T, class Queue>
void drop_path_scale(Queue&, int64_t rows, const int32_t* sample, double p, uint64_t seed,
                     uint64_t step, uint64_t stream, Real<T>* row_scale) {
  assert(p >= 0 && p < 1);
  const uint32_t threshold = drop_below(p);
  const T keep = T(1 / (1 - p));
  for (int64_t r = 0; r < rows; ++r) {
    if (r > 0 && sample[r] == sample[r - 1]) {  // a sample's rows are mostly neighbours
      row_scale[r] = row_scale[r - 1];
      continue;
    }
    const uint32_t word = drop_path_word(seed, step, stream, uint32_t(sample[r]));
    row_scale[r] = (word >> 8) < threshold ? T(0) : keep;
  }
}

#define MOME_INSTANTIATE(T)                                                                    \
  template void dropout<T>(Cpu&, int64_t, int64_t, const int64_t*, const T*, double, uint64_t, \
                           uint64_t, uint64_t, T*);                                            \
  template void drop_path_scale<T>(Cpu&, int64_t, const int32_t*, double, uint64_t, uint64_t,  \
                                   uint64_t, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE

}  // namespace mome
