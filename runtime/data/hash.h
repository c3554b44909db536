// A stable 64-bit hash of text: ids that must be the same tomorrow and on every machine, which
// std::hash does not promise.
#pragma once
#include <cstdint>
#include <string_view>

namespace mome {

/// FNV-1a, then the finaliser of MurmurHash3: FNV alone leaves its high bits poorly mixed.
inline uint64_t hash64(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ uint8_t(c)) * 0x100000001B3u;
  h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCDu;
  h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53u;
  return h ^ (h >> 33);
}

}  // namespace mome
