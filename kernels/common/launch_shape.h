// What launchers ask of a problem's shape: packs or single elements, how many blocks.
#pragma once
#include <cstdint>

namespace mome {

/// Whether every pointer stands at a multiple of N elements, as load_pack<N> and store_pack<N> demand. Null pointers do.
template <int N, class... P>
bool aligned_packs(const P*... p) {
  return ((reinterpret_cast<uintptr_t>(p) % (sizeof(P) * N) == 0) && ...);
}

/// Whether every pointer stands at a multiple of 16 bytes.
template <class... P>
bool whole_packs(const P*... p) {
  return ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}

/// Whether rows of `width` elements at these pointers split into packs of N, each aligned as a whole.
template <int N, class... P>
bool packable(int64_t width, const P*... p) {
  return width % N == 0 && aligned_packs<N>(p...);
}

/// Blocks of `each` items that hold n.
inline unsigned blocks_of(int64_t n, int64_t each) { return unsigned((n + each - 1) / each); }

}  // namespace mome
