#include "runtime/log/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/io/crc32c.h"
#include "runtime/log/append.h"

namespace mome {
namespace {

// Protocol buffers, encoding (protobuf.dev/programming-guides/encoding): a field is its number and
// wire type as a varint, then the value.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}
void put_key(std::string* out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}
template <class T>
void put_fixed(std::string* out, T value) {  // Little endian, as this program's machines are.
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_bytes(std::string* out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out->append(bytes);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Event: wall_time = 1 (double), step = 2 (int64), and one of file_version = 3, summary = 5,
/// session_log = 7.
std::string event(int64_t step, int content_field, std::string_view content) {
  std::string out;
  put_key(&out, 1, kFixed64);
  put_fixed(&out, wall_time());
  put_key(&out, 2, kVarint);
  put_varint(&out, static_cast<uint64_t>(step));
  put_bytes(&out, content_field, content);
  return out;
}

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name[0] != '\0' ? name : "localhost";
}

}  // namespace

TensorBoardLog::TensorBoardLog(const std::string& folder, int64_t resume_step) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail("{}: cannot make the folder: {}", folder, error.message());
  const auto seconds = static_cast<int64_t>(wall_time());
  for (int i = 0; fd_ < 0; ++i) {  // A process may open several in a second.
    path_ = fmt::format("{}/events.out.tfevents.{:010d}.{}.{}.{}", folder, seconds, host_name(),
                        ::getpid(), i);
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST)
      fail("{}: cannot open for writing: {}", path_, std::strerror(errno));
  }
  try {
    record(event(0, 3, "brain.Event:2"));
    std::string start;  // SessionLog: status = 1 (START = 1).
    put_key(&start, 1, kVarint);
    put_varint(&start, 1);
    record(event(resume_step, 7, start));
  } catch (...) {  // No destructor runs for an object whose constructor throws.
    ::close(fd_);
    throw;
  }
}

TensorBoardLog::~TensorBoardLog() { ::close(fd_); }

void TensorBoardLog::scalar(std::string_view tag, int64_t step, double value) {
  std::string point;  // Summary.Value: tag = 1, simple_value = 2 (float).
  put_bytes(&point, 1, tag);
  put_key(&point, 2, kFixed32);
  put_fixed(&point, static_cast<float>(value));
  std::string summary;  // Summary: repeated value = 1.
  put_bytes(&summary, 1, point);
  record(event(step, 5, summary));
}

void TensorBoardLog::record(std::string_view data) {
  std::string out;
  put_fixed(&out, static_cast<uint64_t>(data.size()));
  put_fixed(&out, masked_crc32c(out));
  out.append(data);
  put_fixed(&out, masked_crc32c(data));
  append_whole(fd_, path_, out);
}

}  // namespace mome
