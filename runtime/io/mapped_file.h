// A whole file mapped read-only: its bytes are read from the disk when they are first looked at.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace mome {

class MappedFile {
 public:
  /// Errors name the file: it cannot be opened, is a folder or device, or is shorter than
  /// `at_least` bytes (which must be > 0). `kind` says what was expected: "a safetensors file".
  MappedFile(const std::string& path, size_t at_least, const char* kind);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace mome
