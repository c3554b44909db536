// Tar archives, read by their index alone and written plainly: POSIX ustar, with GNU long names and
// pax paths and sizes on reading (POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format").
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/read_bytes.h"
#include "runtime/io/atomic_file.h"

namespace mome {

struct TarMember {
  std::string name;
  uint64_t offset;  // of the content, in bytes
  uint64_t size;    // bytes
};

/// The regular files of an archive in order; folders, links and devices are left out. One header is
/// read for each member, no content. Throws Error naming the file and the offset for a wrong
/// checksum, a content that passes the file's end, or a missing end mark (a cut copy would
/// otherwise lose samples unseen).
std::vector<TarMember> index_tar(const RandomFile& file, const std::string& name);

/// Writes an archive that is whole or not there (AtomicFile; its errors).
class TarWriter {
 public:
  explicit TarWriter(const std::string& name) : name_(name), file_(name) {}

  /// A regular file; names of at most 100 bytes.
  void add(const std::string& member, std::string_view content);
  /// Without it nothing is kept.
  void finish();

 private:
  std::string name_;
  AtomicFile file_;
};

}  // namespace mome
