// Host side of load_pack and store_pack: may a launcher take the 16-byte form?
#pragma once
#include <cstdint>

namespace mome {

/// Whether every pointer stands at a multiple of 16 bytes.
template <class... P>
bool whole_packs(const P*... pointers) {
  return ((uintptr_t(pointers) % 16 == 0) && ...);
}

}  // namespace mome
