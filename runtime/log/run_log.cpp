#include "runtime/log/run_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/append.h"

namespace mome {
namespace {

/// How many bytes of the log belong to steps before `resume_step`.
size_t bytes_before(const std::string& path, const std::string& text, int64_t resume_step) {
  size_t begin = 0;
  for (int line = 1; begin < text.size(); ++line) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return begin;  // Torn: a whole entry ends its line.
    const auto entry =
        nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                              text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!entry.is_object()) {
      if (end + 1 == text.size()) return begin;
      fail("{}:{}: expected a JSON object, as this program's logs have on every line", path, line);
    }
    const auto step = entry.find("step");
    if (step != entry.end() && step->is_number_integer() && step->get<int64_t>() >= resume_step)
      return begin;
    begin = end + 1;
  }
  return begin;
}

}  // namespace

RunLog RunLog::open(const std::string& path, int64_t resume_step) {
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) fail("{}: cannot make its folder: {}", path, error.message());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) fail("{}: cannot open for writing: {}", path, std::strerror(errno));
  RunLog log(path, fd);
  struct stat status;
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    const size_t keep = bytes_before(path, read_file(path), resume_step);
    if (::ftruncate(fd, static_cast<off_t>(keep)) != 0)
      fail("{}: cannot cut it to go on at step {}: {}", path, resume_step, std::strerror(errno));
  }
  return log;
}

RunLog::RunLog(RunLog&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

RunLog::~RunLog() {
  if (fd_ >= 0) ::close(fd_);
}

void RunLog::write(int64_t step, const nlohmann::ordered_json& fields) {
  MOME_CHECK(fields.is_object());
  nlohmann::ordered_json entry = {{"step", step}};
  entry.update(fields);
  entry["step"] = step;
  // Names of broken files may be in the text and need not be UTF-8.
  const std::string line =
      entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  append_whole(fd_, path_, line);
}

}  // namespace mome
