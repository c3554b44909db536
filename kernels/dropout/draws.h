// Where dropout's draws lie and which of them drop: one text for all devices.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/common/philox.h"

namespace mome {

/// A stream's first call: streams own 2^32 words each, as in RandomStream.
MOME_HOST_DEVICE inline uint64_t first_call(uint64_t stream) { return stream << 30; }

/// The call that holds the first draws of a row of `width` elements.
MOME_HOST_DEVICE inline uint64_t row_call(uint64_t stream, int64_t row, int64_t width) {
  return first_call(stream) + uint64_t(row) * uint64_t((width + 3) / 4);
}

/// Words with (word >> 8) below this are dropped: uniform01(word) < p, exactly.
inline uint32_t drop_below(double p) { return uint32_t(std::ceil(p * 16777216.0)); }

/// A sample's word for drop path.
MOME_HOST_DEVICE inline uint32_t drop_path_word(uint64_t seed, uint64_t step, uint64_t stream,
                                                uint32_t sample) {
  return philox(seed, step, Purpose::kDropPath, first_call(stream) + sample / 4)[int(sample % 4)];
}

}  // namespace mome
