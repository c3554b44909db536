#include "runtime/io/sliced_crc.h"
#include "runtime/io/zip.h"

namespace mome {

uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc) {
  return SlicedCrc<0xedb88320u>::of(bytes.data(), bytes.size(), crc);
}

}  // namespace mome
