// Which instance of an attention kernel runs: by storage type, head dim and GPU.
#pragma once
#include <stdexcept>
#include <string>

#include "kernels/arch/queue.cuh"
#include "kernels/attention/attention_tile.cuh"

namespace mome::MOME_DEVICE {

/// Whether rows can be copied 16 bytes at a time.
template <class T>
bool attention_packed(const AttentionArgs<T>& a, const void* other, int64_t other_ld) {
  constexpr int64_t n = kPack<T>;
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return a.head_dim % n == 0 && a.ldq % n == 0 && a.ldk % n == 0 && a.ldv % n == 0 && other_ld % n == 0 && aligned(a.q) && aligned(a.k) &&
         aligned(a.v) && aligned(other);
}

template <class T, int kD, class F>
void on_tile_of(Queue& queue, F&& f) {
#if defined(__CUDACC__)
  (void)queue;
  f.template operator()<Native<T>, kD>();
#else
  if constexpr (std::is_same_v<T, float>) return f.template operator()<Fma<float>, kD>();
  if constexpr (std::is_same_v<T, bf16>) return f.template operator()<Ampere<bf16>, kD>();
  if constexpr (std::is_same_v<T, half>) {
    if (queue.compute_capability() >= 80) return f.template operator()<Ampere<half>, kD>();
    if (queue.compute_capability() >= 75) return f.template operator()<Turing<half>, kD>();
    return f.template operator()<Volta<half>, kD>();
  }
#endif
}

/// Calls f.template operator()<Tile, kD>() for the arguments' head dim (up to 128, padded to 64 or 128).
template <class T, class F>
void on_tile(Queue& queue, const AttentionArgs<T>& a, F&& f) {
  if (std::is_same_v<T, bf16> && queue.compute_capability() < 80)
    throw std::runtime_error("bf16 needs compute capability 8.0; this GPU has " + std::to_string(queue.compute_capability() / 10) + "." +
                             std::to_string(queue.compute_capability() % 10) + ": use fp16");
  if (a.head_dim > 128) throw std::runtime_error("attention: head dim " + std::to_string(a.head_dim) + "; at most 128 is possible on a GPU");
  if (a.sequences == 0 || a.heads == 0) return;
  if (a.head_dim <= 64) on_tile_of<T, 64>(queue, f);
  else on_tile_of<T, 128>(queue, f);
}

}  // namespace mome::MOME_DEVICE
