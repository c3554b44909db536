#include "runtime/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

MappedFile::MappedFile(const std::string& path, size_t at_least, const char* kind) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("{}: cannot open for reading: {}", path, std::strerror(errno));
  struct stat status;
  void* mapping = MAP_FAILED;
  int error = 0;
  if (::fstat(fd, &status) != 0) {
    error = errno;
  } else if (S_ISREG(status.st_mode) && status.st_size >= static_cast<off_t>(at_least)) {
    size_ = static_cast<size_t>(status.st_size);
    mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED) error = errno;
  }
  ::close(fd);
  if (error != 0) fail("{}: cannot read: {}", path, std::strerror(error));
  if (!S_ISREG(status.st_mode)) fail("{}: expected {}, not a folder or device", path, kind);
  if (mapping == MAP_FAILED)
    fail("{}: {} bytes; {} has at least {}", path, status.st_size, kind, at_least);
  data_ = static_cast<const std::byte*>(mapping);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace mome
