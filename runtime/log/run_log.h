// A run's log as JSON lines: one object a line, its first key "step". Doubles are written with the
// fewest digits that read back to the same value; NaN and infinities, which JSON lacks, as null.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mome {

class RunLog {
 public:
  /// Opens (or makes) the log to go on at `resume_step`: the file is cut at its first entry of that
  /// step or a later one, and a last line that a crash tore is dropped, so that a resumed run's log
  /// reads like an uninterrupted one's. Entries without "step" stay with what stands before them.
  /// Errors: I/O; a line in the middle that is no JSON object (then nothing is cut).
  static RunLog open(const std::string& path, int64_t resume_step);

  RunLog(RunLog&& other) noexcept;
  ~RunLog();
  RunLog& operator=(RunLog&&) = delete;
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// Appends {"step": step, …fields} with one write. On an error the file is as before the call.
  void write(int64_t step, const nlohmann::ordered_json& fields);

 private:
  RunLog(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace mome
