#include "runtime/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

[[noreturn]] void fail_errno(const std::string& path, const char* what, int error) {
  fail("{}: {}: {}", path, what, std::strerror(error));
}

/// The path behind all symbolic links, or the path itself where it does not exist yet.
std::string resolve(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return error ? path : real.string();
}

void sync_folder(const std::string& path, const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_errno(path, "cannot open its folder to sync it", errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  // EINVAL: this file system has no folder sync (some network and FUSE ones); nothing can be done.
  if (result != 0 && error != EINVAL) fail_errno(path, "cannot sync its folder", error);
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(resolve(path)) {
  if (path.empty()) fail("cannot write a file with an empty name");
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) fail("{}: cannot write: it is a folder; expected a file", path_);
    if (!S_ISREG(status.st_mode)) {
      fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd_ < 0) fail_errno(path_, "cannot open for writing", errno);
      return;
    }
  }
  std::error_code error;
  std::filesystem::create_directories(folder_of(target_), error);
  if (error) fail("{}: cannot make its folder: {}", path_, error.message());
  open_temporary();
}

void AtomicFile::open_temporary() {
  // The name is always the same, so that what a killed program left is taken over, not piled up.
  // The lock keeps two writers of one file apart; it goes with the descriptor.
  temporary_ = target_ + ".tmp";
  for (;;) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_errno(path_, "cannot create its temporary file", errno);
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(fd_);
      fd_ = -1;
      if (error == EWOULDBLOCK) fail("{}: another writer is writing this file", path_);
      fail_errno(path_, "cannot lock its temporary file", error);
    }
    // Between open and lock another writer may have renamed or removed the file that we opened.
    struct stat ours, named;
    if (::fstat(fd_, &ours) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
        ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
      break;
    ::close(fd_);
  }
  if (::ftruncate(fd_, 0) != 0) {
    const int error = errno;
    discard();
    fail_errno(path_, "cannot empty its temporary file", error);
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ < 0) return;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  ::close(fd_);
  fd_ = -1;
}

void AtomicFile::write(const void* data, size_t bytes) {
  MOME_CHECK(fd_ >= 0);
  const char* begin = static_cast<const char*>(data);
  if (buffer_.size() + bytes > kBufferBytes) flush();
  if (bytes >= kBufferBytes)
    write_out(begin, bytes);
  else if (bytes > 0)
    buffer_.append(begin, bytes);
}

void AtomicFile::flush() {
  write_out(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::write_out(const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(fd_, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      discard();
      fail_errno(path_, temporary_.empty() ? "cannot write" : "cannot write; the old file is kept",
                 error);
    }
    data += written, bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  MOME_CHECK(fd_ >= 0);
  flush();
  if (temporary_.empty()) {
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) fail_errno(path_, "cannot write", errno);
    return;
  }
  const char* what = nullptr;
  if (::fsync(fd_) != 0)
    what = "cannot sync; the old file is kept";
  else if (::rename(temporary_.c_str(), target_.c_str()) != 0)
    what = "cannot rename its temporary file; the old file is kept";
  if (what != nullptr) {
    const int error = errno;
    discard();
    fail_errno(path_, what, error);
  }
  ::close(fd_);  // Synced: close has nothing left to report.
  fd_ = -1;
  sync_folder(path_, folder_of(target_));
}

void write_file_atomic(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

std::string read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno(path, "cannot open for reading", errno);
  std::string content;
  struct stat status;
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
    content.reserve(static_cast<size_t>(status.st_size));
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      fail_errno(path, "cannot read", error);
    }
    if (got == 0) break;
    content.append(block, static_cast<size_t>(got));
  }
  ::close(fd);
  return content;
}

}  // namespace mome
