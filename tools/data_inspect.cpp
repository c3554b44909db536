// `mome data inspect`: what a data set holds, and what is wrong with it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/read_bytes.h"
#include "runtime/image/decode.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string source, split, image_root;
  int64_t decode = 200;
};

void run(const Options& o) {
  DatasetOptions options;
  options.image_root = o.image_root;
  options.max_bad = 1;  // to look is to see all that is wrong
  const Dataset d = open_dataset(o.source, o.split, options);
  int64_t captions = 0, without = 0, keywords = 0, shortest = 0, longest = 0, words = 0;
  std::map<std::string, int64_t> kinds;
  for (const Record& r : d.records) {
    without += r.captions.empty();
    keywords += int64_t(r.keywords.size());
    if (!r.kind.empty()) ++kinds[r.kind];
    for (const std::string& c : r.captions) {
      int64_t n = 0;
      for (size_t i = 0; i < c.size(); ++i) n += c[i] != ' ' && (i == 0 || c[i - 1] == ' ');
      shortest = captions ? std::min(shortest, n) : n;
      longest = std::max(longest, n);
      words += n;
      ++captions;
    }
  }
  fmt::print("{}{}: {} pictures, {} captions", d.source,
             o.split.empty() ? "" : " (" + o.split + ")", d.records.size(), captions);
  if (captions)
    fmt::print(" of {} to {} words, mean {:.1f}", shortest, longest,
               double(words) / double(captions));
  if (keywords) fmt::print(", {} keywords", keywords);
  if (without) fmt::print("; {} pictures have no caption", without);
  fmt::print("\n");
  for (const auto& [kind, n] : kinds) fmt::print("  kind {}: {}\n", kind, n);

  // Decodes a sample, evenly spread, to know sizes and to find broken files.
  const int64_t n = int64_t(d.records.size()), look = o.decode <= 0 ? n : std::min(n, o.decode);
  int64_t small_w = 0, small_h = 0, large_w = 0, large_h = 0, good = 0;
  std::vector<std::string> broken;
  for (int64_t i = 0; i < look; ++i) {
    const Record& r = d.records[size_t(i * n / look)];
    try {
      const Image image = decode_image(read_bytes(r.image), image_name(r.image));
      small_w = good ? std::min<int64_t>(small_w, image.width) : image.width;
      small_h = good ? std::min<int64_t>(small_h, image.height) : image.height;
      large_w = std::max<int64_t>(large_w, image.width);
      large_h = std::max<int64_t>(large_h, image.height);
      ++good;
    } catch (const Error& e) {
      broken.push_back(e.what());
    }
  }
  fmt::print("{} pictures decoded: {} x {} to {} x {} pixels; {} broken\n", look, small_w, small_h,
             large_w, large_h, broken.size());
  for (size_t i = 0; i < std::min<size_t>(5, broken.size()); ++i) fmt::print("  {}\n", broken[i]);
  fmt::print("{} records skipped\n", d.problems.size());
  for (size_t i = 0; i < std::min<size_t>(5, d.problems.size()); ++i)
    fmt::print("  {}\n", d.problems[i]);
  for (int64_t i = 0; i < std::min<int64_t>(3, n); ++i) {
    const Record& r = d.records[size_t(i * n / 3)];
    fmt::print("e.g. {}: {}\n", r.key,
               r.captions.empty() ? "(no caption)"
                                  : fmt::format("\"{}\"", fmt::join(r.captions, "\", \"")));
  }
}

}  // namespace

void add_data_inspect_command(CLI::App& data) {
  CLI::App* c =
      data.add_subcommand("inspect", "Say what a data set holds and what is broken in it");
  auto o = std::make_shared<Options>();
  c->add_option("source", o->source, "JSON lines, COCO or Karpathy JSON, a folder, or tar shards")
      ->required();
  c->add_option("--split", o->split, "split to look at; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--decode", o->decode, "pictures to decode, spread evenly; 0: all")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
