// What launchers ask of a problem's shape: packs or single elements, how many blocks.
#pragma once
#include <cstdint>

namespace mome {

/// Whether rows of `width` elements at these pointers split into packs of N, each aligned as a whole. Null pointers do.
template <int N, class... P>
bool packable(int64_t width, const P*... p) {
  return width % N == 0 && ((reinterpret_cast<uintptr_t>(p) % (sizeof(P) * N) == 0) && ...);
}

/// Blocks of `each` items that hold n.
inline unsigned blocks_of(int64_t n, int64_t each) { return unsigned((n + each - 1) / each); }

}  // namespace mome
