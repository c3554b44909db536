// A look at a JPEG's tables before stb_image sees them.
#pragma once
#include <cstdint>
#include <span>

namespace mome {

/// False if a Huffman table (ITU-T T.81, B.2.4.2) declares more than 256 codes, which
/// stb_image 2.27 writes beyond the end of its table, or if one is cut short. True for bytes that
/// are no JPEG. Segments are walked as stb does: by their lengths, entropy-coded data up to the
/// next marker.
bool jpeg_tables_fit(std::span<const uint8_t> bytes);

}  // namespace mome
