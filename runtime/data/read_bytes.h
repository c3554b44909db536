// Bytes of files: whole, or a range.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/data/record.h"

namespace mome {

/// A file open for reading at any offset; closes itself. Safe to read from several threads.
class RandomFile {
 public:
  explicit RandomFile(const std::string& name);     // throws Error: name and the system's reason
  RandomFile(int handle, const std::string& name);  // of an open file, which it takes over
  ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  uint64_t size() const { return size_; }
  /// Throws Error if the range passes the file's end.
  void read(uint64_t offset, uint64_t size, void* to) const;

 private:
  void find_size();

  std::string name_;
  int handle_;
  uint64_t size_ = 0;
};

/// The encoded image. Throws Error naming the file, ShardError for a piped shard that cannot be
/// had.
std::vector<uint8_t> read_bytes(const ImageRef& image);

}  // namespace mome
