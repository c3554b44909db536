#include "runtime/image/jpeg_check.h"

#include <cstring>
#include <numeric>

namespace mome {
namespace {

bool huffman_segment_fits(std::span<const uint8_t> segment) {
  while (!segment.empty()) {
    if (segment.size() < 17) return false;  // class and slot, then 16 counts, one a code length
    const size_t codes = std::accumulate(segment.begin() + 1, segment.begin() + 17, size_t{0});
    if (codes > 256 || segment.size() < 17 + codes) return false;
    segment = segment.subspan(17 + codes);
  }
  return true;
}

}  // namespace

bool jpeg_tables_fit(std::span<const uint8_t> bytes) {
  if (bytes.size() < 2 || bytes[0] != 0xff || bytes[1] != 0xd8) return true;
  size_t at = 2;
  while (at + 3 < bytes.size()) {
    if (bytes[at] != 0xff) {
      const void* next = std::memchr(&bytes[at], 0xff, bytes.size() - at);
      if (!next) return true;
      at = size_t(static_cast<const uint8_t*>(next) - bytes.data());
      continue;
    }
    const uint8_t marker = bytes[at + 1];
    if (marker == 0xff) {  // fill bytes before a marker
      ++at;
      continue;
    }
    // Stuffed zeros and restart markers belong to entropy-coded data; EOI and SOI have no length.
    if (marker == 0 || (marker >= 0xd0 && marker <= 0xd9)) {
      at += 2;
      continue;
    }
    const size_t length = size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (marker == 0xc4) {
      if (length < 2 || at + 2 + length > bytes.size()) return false;
      if (!huffman_segment_fits(bytes.subspan(at + 4, length - 2))) return false;
    }
    at += 2 + length;
  }
  return true;
}

}  // namespace mome
