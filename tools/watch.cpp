// `mome watch RUN`: how a run goes, in the terminal.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/log/interrupt.h"
#include "runtime/log/outliers.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"
#include "tools/report/log.h"
#include "tools/report/terminal_chart.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string folder;
  bool once = false;
  int width = 0, height = 8;
  double every = 2, idle = 60;
};

// Figures of the run's machinery: shown as they are now. Everything else is a curve.
struct Figure {
  const char *field, *name, *unit;
  double scale;
};
constexpr Figure kFigures[] = {
    {"lr", "lr", "", 1},
    {"grad_norm", "grad norm", "", 1},
    {"step_s", "step", " s", 1},
    {"samples_per_s", "samples/s", "", 1},
    {"tflops", "TFLOP/s", "", 1},
    {"mfu", "MFU", " %", 100},
    {"input_wait", "input wait", " %", 100},
    {"comm_wait", "communication wait", " %", 100},
    {"loss_scale", "loss scale", "", 1},
    {"memory_mib", "device memory", " GiB", 1.0 / 1024},
    {"rss_mib", "resident memory", " GiB", 1.0 / 1024},
    {"loss_z", "loss z", "", 1},
    {"grad_z", "grad z", "", 1},
};

bool is_figure(const std::string& name) {
  return std::any_of(std::begin(kFigures), std::end(kFigures),
                     [&](const Figure& f) { return name == f.field; });
}

// Steps whose loss or gradient norm stood out.
std::string outliers_of(const StageCurves& stage) {
  constexpr size_t kShown = 5;
  std::vector<std::string> found;
  for (const char* field : {"loss_z", "grad_z"})
    if (const Curve* z = stage.find(field))
      for (size_t i = 0; i < z->x.size(); ++i)
        if (z->y[i] > StepOutliers::kLarge)
          found.push_back(fmt::format("{:.10g} ({} {:+.1f})", z->x[i], field, z->y[i]));
  if (found.empty()) return "";
  std::string text = fmt::format("{} outlier{}:", found.size(), found.size() > 1 ? "s" : "");
  for (size_t i = found.size() - std::min(kShown, found.size()); i < found.size(); ++i)
    text += " step " + found[i];
  return text;
}

// Parts joined with two blanks, broken where a line is full.
void add_wrapped(std::vector<std::string>& lines, const std::vector<std::string>& parts,
                 int width) {
  std::string line;
  for (const std::string& part : parts) {
    if (!line.empty() && columns_of(line) + 2 + columns_of(part) > width)
      lines.push_back(std::exchange(line, ""));
    line += (line.empty() ? "" : "  ") + part;
  }
  if (!line.empty()) lines.push_back(line);
}

// 65536 rather than 6.55e+04.
std::string number(double value) {
  return value == std::floor(value) && std::abs(value) < 1e9 ? fmt::format("{:.0f}", value)
                                                             : fmt::format("{:.3g}", value);
}

std::vector<std::string> figures_of(const StageCurves& stage) {
  std::vector<std::string> parts;
  for (const Figure& f : kFigures)
    if (const Curve* curve = stage.find(f.field); curve && !curve->y.empty())
      parts.push_back(fmt::format("{} {}{}", f.name, number(curve->y.back() * f.scale), f.unit));
  return parts;
}

std::vector<std::string> frame(const LogReader& log, int width, int height) {
  std::vector<std::string> lines;
  for (const StageCurves& stage : log.stages()) {
    const Curve* loss = stage.find("loss");
    lines.push_back(fmt::format("{}, step {:.10g}{}", stage.stage, stage.last_step,
                                loss ? fmt::format(": loss {:.4g}", loss->y.back()) : ""));
    if (loss)
      for (std::string& line : braille_chart(*loss, width, height))
        lines.push_back(std::move(line));
    size_t label = 0;
    for (const Curve& c : stage.curves)
      if (!is_figure(c.name) && c.name != "loss") label = std::max(label, c.name.size());
    for (const Curve& c : stage.curves) {
      if (is_figure(c.name) || c.name == "loss") continue;
      const std::string ends = fmt::format("{:.4g} → {:.4g}", c.y.front(), c.y.back());
      const int room = width - int(label) - columns_of(ends) - 2;
      lines.push_back(
          fmt::format("{:<{}} {} {}", c.name, label, sparkline(c, std::max(1, room)), ends));
    }
    if (&stage == log.current()) add_wrapped(lines, figures_of(stage), width);
    if (const std::string text = outliers_of(stage); !text.empty()) lines.push_back(text);
    lines.push_back("");
  }
  if (!lines.empty()) lines.pop_back();
  return lines;
}

// The newest line of the log, for a file or a pipe.
std::string newest(const StageCurves& stage) {
  std::string line = fmt::format("{} step {:.10g}", stage.stage, stage.last_step);
  for (const Curve& c : stage.curves)
    if (!c.x.empty() && c.x.back() == stage.last_step)
      line += fmt::format("  {} {:.4g}", c.name, c.y.back());
  return line;
}

// A run has ended when the last stage's checkpoint is there and nothing more is logged: then no
// stage follows it.
bool ended(const fs::path& root, const LogReader& log, double idle) {
  std::error_code error;
  if (!log.current() || !fs::exists(root / (log.current()->stage + ".safetensors"), error))
    return false;
  const auto logged = fs::last_write_time(root / "log.jsonl", error);
  return !error &&
         std::chrono::duration<double>(fs::file_time_type::clock::now() - logged).count() >= idle;
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void watch(const Options& o) {
  const fs::path root = o.folder, file = root / "log.jsonl";
  if (!fs::is_directory(root))
    fail("{}: no such folder; expected the output folder of a run", o.folder);
  if (!fs::exists(file))
    fail("{}: no log.jsonl in it; expected the output folder of a run that has begun", o.folder);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const auto width = [&] {
    return o.width > 0 ? o.width : std::max(20, terminal_width(stdout) - 1);
  };
  LogReader log(file.string());
  log.read(!o.once);
  if (o.once) {
    if (!log.current()) fail("{}: nothing is logged yet", file.string());
    print(fmt::format("{}\n", fmt::join(frame(log, width(), o.height), "\n")));
    return;
  }
  catch_interrupts();
  int drawn = 0;  // lines on the screen that the next frame replaces
  for (bool changed = true; !interrupted();) {
    if (changed && log.current()) {
      if (terminal) {
        const std::vector<std::string> lines = frame(log, width(), o.height);
        print(fmt::format("{}\x1b[J{}\n", drawn > 0 ? fmt::format("\x1b[{}A\r", drawn) : "",
                          fmt::join(lines, "\n")));
        drawn = int(lines.size());
      } else {
        print(newest(*log.current()) + "\n");
      }
    }
    if (ended(root, log, o.idle)) break;
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(o.every);
    while (!interrupted() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    changed = log.read(true);
  }
}

}  // namespace

void add_watch_command(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "watch", "Draw a run's losses and latest figures in the terminal while it goes on");
  command->add_option("RUN", o->folder, "output folder of a run (with log.jsonl)")->required();
  command->add_flag("--once", o->once, "print once and exit");
  command->add_option("--every", o->every, "seconds between two looks at the log")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--idle", o->idle,
                   "ends when the last stage's checkpoint is there and nothing was logged for so "
                   "many seconds")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--width", o->width, "columns; default: the terminal's")
      ->check(CLI::Range(20, 1000));
  command->add_option("--height", o->height, "rows of a chart")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->footer(
      "Ctrl-C ends it; the run goes on. Into a file or a pipe it prints the newest entry of the "
      "log "
      "at every look instead.");
  command->callback([o] { watch(*o); });
}

}  // namespace mome
