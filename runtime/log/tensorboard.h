// TensorBoard event files, scalars only. A file is a row of TFRecords (tensorflow/core/lib/io/
// record_writer.cc: length, its masked CRC-32C, data, its masked CRC-32C), each holding one Event
// message (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mome {

class TensorBoardLog {
 public:
  /// Makes FOLDER/events.out.tfevents.TIME.HOST.PROCESS, a new file for every part of a run. It
  /// tells TensorBoard that the run goes on at `resume_step`: points of it and later ones in older
  /// files of the folder are then not shown. Errors: I/O.
  TensorBoardLog(const std::string& folder, int64_t resume_step);
  ~TensorBoardLog();
  TensorBoardLog(const TensorBoardLog&) = delete;
  TensorBoardLog& operator=(const TensorBoardLog&) = delete;

  /// One point of a curve; `tag` like "pairs/loss". Written at once. The format holds float32.
  void scalar(std::string_view tag, int64_t step, double value);

  const std::string& path() const { return path_; }

 private:
  void record(std::string_view event);

  std::string path_;
  int fd_ = -1;
};

}  // namespace mome
