// `mome data pairs`: any data set as JSON lines.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/io/atomic_file.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string out, split, image_root;
  std::vector<std::string> sources;
};

void run(const Options& o) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::absolute(o.out).lexically_normal().parent_path();
  AtomicFile file(o.out);
  int64_t records = 0, captions = 0;
  for (const std::string& source : o.sources) {
    DatasetOptions options;
    options.image_root = o.image_root;
    const Dataset d = open_dataset(source, o.split, options);
    for (const std::string& p : d.problems) fmt::print(stderr, "skipped {}\n", p);
    for (const Record& r : d.records) {
      if (r.image.size > 0)
        fail(
            "{}: lies inside a tar archive; JSON lines name files. Unpack it, or train from the "
            "archive as it is",
            r.image.file);
      nlohmann::ordered_json line;
      line["image"] =
          fs::absolute(r.image.file).lexically_normal().lexically_proximate(folder).string();
      line["captions"] = r.captions;
      if (!r.keywords.empty()) line["keywords"] = r.keywords;
      if (!r.kind.empty()) line["kind"] = r.kind;
      if (!o.split.empty()) line["split"] = o.split;
      const std::string text =
          line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
      file.write(text.data(), text.size());
      ++records;
      captions += int64_t(r.captions.size());
    }
  }
  file.commit();
  fmt::print("{}: {} pictures, {} captions\n", o.out, records, captions);
}

}  // namespace

void add_data_pairs_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand("pairs", "Write data sets of any format as JSON lines");
  auto o = std::make_shared<Options>();
  c->add_option("out", o->out, "file to write (.jsonl); image paths are relative to its folder")
      ->required();
  c->add_option("sources", o->sources, "JSON lines, COCO or Karpathy JSON, folders")->required();
  c->add_option("--split", o->split, "split to take; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->callback([o] { run(*o); });
}

}  // namespace mome
