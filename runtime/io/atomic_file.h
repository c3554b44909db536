// Files that are whole or not there. A new content is written beside the old one under a temporary
// name, synced to the disk and renamed over it; rename(2) is atomic, so that a crash or a full disk
// at any moment leaves either the old file or the new one, never a mixture.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace mome {

/// One file that comes into being at commit(). Parent folders are made. A path that names something
/// other than a regular file (a pipe, a device) is written directly: it cannot be replaced.
/// Every failure is an Error that names the file and the system's reason. Bytes are buffered.
class AtomicFile {
 public:
  /// Errors: the folder cannot be made or written; another writer is at work on the same file.
  explicit AtomicFile(const std::string& path);
  /// Without commit(): removes the temporary file, and the old file stays.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  /// Flush, fsync, rename, fsync of the folder. After it (or after an error) nothing may be
  /// written.
  void commit();

 private:
  void open_temporary();
  void flush();
  void write_out(const char* data, size_t bytes);
  void discard() noexcept;

  std::string path_;       // as the user wrote it: for messages
  std::string target_;     // where the rename goes: symbolic links resolved, so that they stay
  std::string temporary_;  // empty when writing directly
  std::string buffer_;
  int fd_ = -1;
};

/// The whole content at once, as AtomicFile does it.
void write_file_atomic(const std::string& path, std::string_view bytes);

/// The whole file. Errors: it cannot be opened or read, or is a folder.
std::string read_file(const std::string& path);

}  // namespace mome
