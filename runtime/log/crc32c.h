// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78: RFC 3720, section 12.1 and appendix B.4.
#pragma once
#include <cstdint>
#include <string_view>

namespace mome {

uint32_t crc32c(std::string_view bytes);

/// The checksum as TFRecord files store it: rotated and offset, so that a checksum of data that
/// holds checksums stays useful (tensorflow/core/lib/hash/crc32c.h, Mask).
inline uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace mome
