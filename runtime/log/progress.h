// What long work shows: on a terminal one line that is redrawn in place, elsewhere (a file, a pipe)
// a plain line now and then and one at the end.
//   pairs   [#########...........]  450/1000  45%  12.3/s  ETA 0:45  loss 2.31
#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace mome {

struct ProgressOptions {
  std::FILE* out = stderr;
  std::optional<bool> terminal;   ///< whether to redraw; by default what `out` is
  int width = 0;                  ///< columns; 0: as the terminal says at each redraw
  double redraw_seconds = 0.1;    ///< on a terminal, at least this between two redraws
  double line_seconds = 15;       ///< elsewhere, at least this between two lines
  std::function<double()> clock;  ///< seconds; by default a monotonic clock
};

/// Every member may be called from any thread.
class Progress {
 public:
  /// `done` of `total` are done already (a resumed run): they do not count for the rate.
  /// total <= 0: unknown; no bar and no ETA.
  Progress(std::string label, int64_t total, int64_t done = 0, ProgressOptions options = {});
  ~Progress();  ///< finish()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` in all; `text` (losses, accuracies) stays until the next one that is not empty.
  void update(int64_t done, std::string_view text = {});
  /// A line of its own: a warning, the place of a checkpoint. The bar goes on below it.
  void note(std::string_view line);
  /// The last state on a line that stays. Later calls do nothing.
  void finish();

 private:
  std::string status(double now) const;
  void show(double now, bool last);

  const std::string label_;
  const int64_t total_, first_;
  ProgressOptions options_;
  bool terminal_;
  double started_, shown_;
  int64_t done_;
  std::string text_;
  bool finished_ = false;
  std::mutex mutex_;
};

/// Columns of the terminal behind `out`; 80 if it is none.
int terminal_width(std::FILE* out);

/// "0:07", "12:34", "3:05:00".
std::string format_duration(double seconds);

}  // namespace mome
