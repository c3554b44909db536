// mome report RUN: one page that shows how a run went and what it can do.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "tools/commands.h"
#include "tools/report/page.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

json read_json(const fs::path& file) {
  try {
    return json::parse(read_file(file.string()));
  } catch (const json::exception& error) {
    fail("{}: not JSON: {}", file.string(), error.what());
  }
}

void run(const std::string& folder) {
  const fs::path root = folder;
  if (!fs::exists(root / "log.jsonl"))
    fail("{}: no log.jsonl in it; expected the folder of a pretraining run", folder);
  Report report;
  report.title = "mome: " + fs::absolute(root).lexically_normal().filename().string();
  report.folder = (root / "data").string();
  report.stages = read_log((root / "log.jsonl").string());
  if (fs::exists(root / "evaluation.json")) {
    if (fs::exists(root / "seconds.json"))
      report.summary["seconds"] = read_json(root / "seconds.json");
    const json evaluation = read_json(root / "evaluation.json");
    if (!evaluation.is_object())
      fail("{}: expected a JSON object", (root / "evaluation.json").string());
    report.summary.update(evaluation);
    write_file_atomic((root / "summary.json").string(), report.summary.dump(2) + "\n");
  } else if (fs::exists(root / "summary.json")) {
    report.summary = read_json(root / "summary.json");
  }
  if (fs::exists(root / "searches.json")) report.searches = read_json(root / "searches.json");
  write_file_atomic((root / "report.html").string(), report_page(report));
  fmt::print("{}\n", (root / "report.html").string());
}

}  // namespace

void add_report_command(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "report", "Write RUN/report.html: curves, retrieval and searches on one page");
  command
      ->add_option("RUN", *folder,
                   "Folder of a run: log.jsonl, and where they are there evaluation.json and "
                   "seconds.json (joined to summary.json) and searches.json")
      ->required();
  command->callback([folder] { run(*folder); });
}

}  // namespace mome
