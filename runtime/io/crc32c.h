// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78: RFC 3720, section 12.1 and appendix B.4.
// x86 (SSE 4.2) and ARMv8 have an instruction for it, eight bytes at a time; where the compiler may
// not use it, tables do (sliced_crc.h).
#pragma once
#include <cstdint>
#include <string_view>

namespace mome {

inline constexpr uint32_t kCrc32cPolynomial = 0x82f63b78u;

/// Goes on from `crc`, the checksum of the bytes before these; 0 at the start.
uint32_t crc32c(std::string_view bytes, uint32_t crc = 0);

/// The checksum as TFRecord files store it: rotated and offset, so that a checksum of data that
/// holds checksums stays useful (tensorflow/core/lib/hash/crc32c.h, Mask).
inline uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace mome
