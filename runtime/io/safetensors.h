// Checkpoint files in the safetensors format: eight bytes with the header's length (little endian),
// the header as JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__":
// {..}}, then the tensors' bytes, little endian and row-major, without holes. Source:
// https://github.com/huggingface/safetensors, README, section "Format".
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/io/mapped_file.h"
#include "runtime/io/tensor_view.h"

namespace mome {

/// A tensor to write: `data` holds product(shape) elements of the dtype, contiguous.
struct TensorEntry {
  std::string name;
  std::string dtype;  ///< "F32", "F64", "I64", "I32", "U8", "BF16", "F16", … as the format names it
  std::vector<int64_t> shape;
  const void* data;
};

/// Bytes of one element of a dtype by its name in the format; 0 for a name that it does not know.
size_t safetensors_element_bytes(std::string_view dtype);

/// Copies bytes from where the host cannot read to host memory.
using Download = std::function<void(void* host, const void* from, size_t bytes)>;

/// The entry of the metadata that holds the file's checksum: CRC-32C of the whole file, header
/// included, as eight hexadecimal digits, which themselves are taken as zeros. SafeTensors hands it
/// out by checksum(), not among the metadata, so that nobody copies it to another file.
inline constexpr const char* kChecksumKey = "mome.crc32c";

/// Writes the file atomically (AtomicFile). With `download` every tensor's data lies elsewhere and comes
/// through it, piece by piece. Tensors are stored by falling element size and in the
/// given order within it, and the data starts at a multiple of 8: every tensor is aligned.
/// `checksum`: with one, for which all data is read (or downloaded) once more, first.
/// Errors: unknown dtype, negative size, a name twice or reserved, text that is not UTF-8, I/O.
void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const Download& download = {}, bool checksum = false);

enum class Checksum : uint8_t { kNone, kFits, kDiffers };

/// A safetensors file, mapped read-only and checked in full when opened: after that every view lies
/// within the file and no two overlap. Views live as long as this object.
class SafeTensors {
 public:
  using View = TensorView;

  /// Errors name the file, the tensor, and what was expected.
  explicit SafeTensors(const std::string& path);

  /// In the order of their bytes in the file.
  const std::vector<View>& tensors() const { return tensors_; }
  /// Null if there is none of this name.
  const View* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }
  /// Whether the file is what was written, bit by bit. Reads all of it.
  Checksum checksum() const;

 private:
  void read_header();

  std::string path_;
  MappedFile file_;
  std::vector<View> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace mome
