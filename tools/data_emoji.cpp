// mome data emoji OUT: the quickstart's image-text set, from four Debian packages.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "runtime/core/error.h"
#include "runtime/emoji/emoji_set.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string out;
  std::string packages = "/";
  int size = 72;
};

void print_summary(const EmojiSet& set, const std::string& out) {
  std::map<std::string, size_t> counts;
  for (const EmojiPicture& picture : set.noto)
    ++counts[picture.fate.split == EmojiSplit::kTest ? to_string(picture.fate.kind)
                                                     : to_string(picture.fate.split)];
  fmt::print("{}: {} pictures by Google, {} by EmojiOne\n", out, set.noto.size(),
             set.emojione.size());
  fmt::print("  train  {:5} ({} Google, {} EmojiOne)\n", counts["train"] + set.emojione.size(),
             counts["train"], set.emojione.size());
  fmt::print("  test   {:5} (tone {}, role {}, drawing {})\n",
             counts["tone"] + counts["role"] + counts["drawing"], counts["tone"], counts["role"],
             counts["drawing"]);
  fmt::print("  val    {:5} (tone)\n", counts["val"]);
  fmt::print(
      "  left out: {} flags that share a picture, {} tones that do not show, {} sequences "
      "without a picture, EmojiOne's {} twins of held-out tones and roles and {} pictures "
      "without a name\n",
      set.same_glyph, set.same_picture, set.no_glyph, set.withheld, set.unnamed);
}

void run(const Options& options) {
  const EmojiSources sources = find_emoji_sources(options.packages);
  const EmojiSet set = read_emoji_set(sources);
  const bool terminal = isatty(STDERR_FILENO);
  const auto begin = std::chrono::steady_clock::now();
  write_emoji_set(set, sources, options.out, options.size, [&](size_t done, size_t total) {
    if (terminal) fmt::print(stderr, "\r{} of {} pictures", done, total);
  });
  if (terminal) fmt::print(stderr, "\r\033[K");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  print_summary(set, options.out);
  fmt::print("  written in {:.1f} s at {}x{} pixels; see {}/README.txt\n", seconds.count(),
             options.size, options.size, options.out);
}

}  // namespace

void add_data_emoji_command(CLI::App& data) {
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand(
      "emoji", "Make the quickstart's image-text set: emoji by two artists, from Debian packages");
  command->add_option("OUT", options->out, "Folder to write: pictures, caption files, text")
      ->required();
  command
      ->add_option("--packages", options->packages,
                   "Root folder of the packages' files, from \"tools/setup.sh data DIR\"")
      ->capture_default_str();
  command
      ->add_option("--size", options->size,
                   "Side of the pictures in pixels; 72 leaves a 64-pixel crop that is zoomed in by "
                   "a tenth all its pixels")
      ->check(CLI::Range(16, 128))
      ->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace mome
