// A tensor of a checkpoint file: its bytes lie in the mapped file (or beside it, where a file stores
// them in another order), little endian, row-major, contiguous.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mome {

struct TensorView {
  std::string name;
  std::string dtype;  ///< by its name in safetensors: "F32", "BF16", "I64", …
  std::vector<int64_t> shape;
  const std::byte* data;  ///< files of other writers need not be aligned: copy with memcpy
  size_t bytes;
  int64_t elements;
};

}  // namespace mome
