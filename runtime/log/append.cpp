#include "runtime/log/append.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"

namespace mome {

void append_whole(int fd, const std::string& path, std::string_view bytes) {
  const off_t before = ::lseek(fd, 0, SEEK_END);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      const bool whole = before >= 0 && ::ftruncate(fd, before) == 0;
      fail("{}: cannot write: {}{}", path, std::strerror(error),
           whole ? "" : " (and cannot remove what was written of the entry)");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace mome
