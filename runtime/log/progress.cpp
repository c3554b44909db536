#include "runtime/log/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace mome {
namespace {

constexpr int kBarCells = 20;
constexpr const char* kEraseToEnd = "\x1b[K";

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// At most `columns` characters; bytes that continue a UTF-8 character take no column.
std::string_view cut(std::string_view text, int columns) {
  size_t i = 0;
  for (; i < text.size(); ++i)
    if ((text[i] & 0xc0) != 0x80 && columns-- <= 0) break;
  return text.substr(0, i);
}

void put(std::FILE* out, const std::string& text) {
  // In one piece: a terminal never shows a half-drawn line. Errors here stop no work.
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

}  // namespace

int terminal_width(std::FILE* out) {
  winsize size;
  return ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  const int64_t h = whole / 3600, m = whole / 60 % 60, s = whole % 60;
  return h > 0 ? fmt::format("{}:{:02}:{:02}", h, m, s) : fmt::format("{}:{:02}", m, s);
}

Progress::Progress(std::string label, int64_t total, int64_t done, ProgressOptions options)
    : label_(std::move(label)),
      total_(total),
      first_(done),
      options_(std::move(options)),
      done_(done) {
  if (!options_.clock) options_.clock = monotonic_seconds;
  terminal_ = options_.terminal.value_or(::isatty(::fileno(options_.out)) == 1);
  started_ = shown_ = options_.clock();
  if (terminal_) show(started_, false);
}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  done_ = done;
  if (!text.empty()) text_ = text;
  const double now = options_.clock();
  if (now - shown_ >= (terminal_ ? options_.redraw_seconds : options_.line_seconds))
    show(now, false);
}

void Progress::note(std::string_view line) {
  const std::lock_guard lock(mutex_);
  const bool redraw = terminal_ && !finished_;
  put(options_.out, fmt::format("{}{}{}\n", redraw ? "\r" : "", line, redraw ? kEraseToEnd : ""));
  if (redraw) show(options_.clock(), false);
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  show(options_.clock(), true);
}

std::string Progress::status(double now) const {
  const double elapsed = now - started_;
  const double rate = elapsed > 0 ? static_cast<double>(done_ - first_) / elapsed : 0;
  std::string line = label_;
  if (total_ > 0) {
    const double share =
        std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0., 1.);
    const auto cells = static_cast<size_t>(share * kBarCells);
    line += fmt::format("  [{}{}]  {:>{}}/{}  {:>3}%", std::string(cells, '#'),
                        std::string(kBarCells - cells, '.'), done_, std::to_string(total_).size(),
                        total_, static_cast<int>(share * 100));
  } else {
    line += fmt::format("  {}", done_);
  }
  // Slow work is told as the time of one, as 0.1/s says little.
  if (rate >= 1 || rate == 0)
    line += fmt::format("  {:.1f}/s", rate);
  else
    line += fmt::format("  {:.1f} s each", 1 / rate);
  if (finished_)
    line += "  in " + format_duration(elapsed);
  else if (total_ > 0 && rate > 0)
    line += "  ETA " + format_duration(static_cast<double>(total_ - done_) / rate);
  if (!text_.empty()) line += "  " + text_;
  return line;
}

void Progress::show(double now, bool last) {
  shown_ = now;
  const std::string line = status(now);
  if (!terminal_) {
    put(options_.out, line + "\n");
    return;
  }
  const int width = options_.width > 0 ? options_.width : terminal_width(options_.out);
  // One column stays free: a full line would wrap and \r would not come back to its beginning.
  put(options_.out, fmt::format("\r{}{}{}", cut(line, width - 1), kEraseToEnd, last ? "\n" : ""));
}

}  // namespace mome
