#include "runtime/data/read_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"
#include "runtime/data/piped_shards.h"

namespace mome {

RandomFile::RandomFile(const std::string& name)
    : name_(name), handle_(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (handle_ < 0) fail("{}: cannot open: {}", name, std::strerror(errno));
  find_size();
}

RandomFile::RandomFile(int handle, const std::string& name) : name_(name), handle_(handle) {
  find_size();
}

void RandomFile::find_size() {
  struct stat status;
  if (::fstat(handle_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(handle_);
    fail("{}: not a regular file", name_);
  }
  size_ = uint64_t(status.st_size);
}

RandomFile::~RandomFile() { ::close(handle_); }

void RandomFile::read(uint64_t offset, uint64_t size, void* to) const {
  if (offset > size_ || size > size_ - offset) {
    fail("{}: truncated: expected {} bytes at offset {}, the file has {} in all", name_, size,
         offset, size_);
  }
  char* out = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t got = ::pread(handle_, out, size, off_t(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("{}: cannot read at offset {}: {}", name_, offset, std::strerror(errno));
    if (got == 0) fail("{}: became shorter while it was read", name_);
    out += got;
    offset += uint64_t(got);
    size -= uint64_t(got);
  }
}

std::vector<uint8_t> read_bytes(const ImageRef& image) {
  const std::shared_ptr<const RandomFile> file =
      image.shard ? image.shard->open() : std::make_shared<const RandomFile>(image.file);
  // Never allocates more than the file has: the shard may have been cut since its index was made.
  std::vector<uint8_t> bytes(image.size == 0 ? file->size() : std::min(image.size, file->size()));
  file->read(image.offset, image.size == 0 ? bytes.size() : image.size, bytes.data());
  return bytes;
}

}  // namespace mome
