// What a piped shard holds, kept in a file, so that its command need not be run to know it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/shard_samples.h"

namespace mome {

struct ShardIndex {
  uint64_t bytes = 0;  // that the command prints
  std::vector<ShardSample> samples;
};

/// The file in `folder` for the index of `shard` ("pipe:COMMAND"): named by a hash of the command.
std::string index_file(const std::string& folder, const std::string& shard);

/// What save_index wrote for this shard; nothing if there is no such file, or if it is of another
/// command or another version of the format, or damaged: then it is to be made anew.
std::optional<ShardIndex> load_index(const std::string& file, const std::string& shard);

/// Atomic (AtomicFile; its errors).
void save_index(const ShardIndex& index, const std::string& file, const std::string& shard);

/// Holds a lock between processes while it exists: several ranks that need the same index make it
/// once. `file` comes into being, empty, and stays.
class FileLock {
 public:
  /// Waits for it, unless `wait` is false and another holds it: then held() is false. Throws Error
  /// if the file cannot be made.
  FileLock(const std::string& file, bool wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool held() const { return held_; }

 private:
  int handle_;
  bool held_ = false;
};

}  // namespace mome
