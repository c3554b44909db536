#include "runtime/io/crc32c.h"

#include <cstring>

#include "runtime/io/sliced_crc.h"

namespace mome {

#if defined(__SSE4_2__) || defined(__ARM_FEATURE_CRC32)

namespace {

#if defined(__SSE4_2__)
uint32_t add(uint32_t crc, uint64_t eight) {
  return static_cast<uint32_t>(__builtin_ia32_crc32di(crc, eight));
}
uint32_t add(uint32_t crc, unsigned char one) { return __builtin_ia32_crc32qi(crc, one); }
#else
uint32_t add(uint32_t crc, uint64_t eight) { return __builtin_aarch64_crc32cx(crc, eight); }
uint32_t add(uint32_t crc, unsigned char one) { return __builtin_aarch64_crc32cb(crc, one); }
#endif

}  // namespace

// One chain of instructions, three cycles each: some 8 GB/s, faster than any disk.
uint32_t crc32c(std::string_view bytes, uint32_t crc) {
  uint32_t c = ~crc;
  const char* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t eight;
    std::memcpy(&eight, p, 8);
    c = add(c, eight);
  }
  for (; left > 0; --left, ++p) c = add(c, static_cast<unsigned char>(*p));
  return ~c;
}

#else

uint32_t crc32c(std::string_view bytes, uint32_t crc) {
  return SlicedCrc<kCrc32cPolynomial>::of(bytes.data(), bytes.size(), crc);
}

#endif

}  // namespace mome
