// `mome data pairs`: any data set as JSON lines.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/read_bytes.h"
#include "runtime/io/atomic_file.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"

namespace mome {
namespace {
namespace fs = std::filesystem;

struct Options {
  std::string out, split, image_root;
  std::vector<std::string> sources;
  double max_bad = 0.01;
};

// Writes a member of an archive as a file of its own. It is named by its number in the output:
// names inside archives may be equal, or lead out of the folder.
fs::path unpack(const ImageRef& image, const fs::path& folder, int64_t number) {
  const fs::path file =
      folder / fmt::format("{:09}{}", number, fs::path(image.member).extension().string());
  const std::vector<uint8_t> bytes = read_bytes(image);
  write_file_atomic(file.string(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return file;
}

void run(const Options& o) {
  const fs::path out = fs::absolute(o.out).lexically_normal(), folder = out.parent_path(),
                 pictures = folder / (out.stem().string() + "-pictures");
  AtomicFile file(o.out);
  int64_t records = 0, captions = 0;
  for (const std::string& source : o.sources) {
    DatasetOptions options;
    options.image_root = o.image_root;
    options.max_bad = o.max_bad;
    const Dataset d = open_dataset(source, o.split, options);
    for (const std::string& p : d.problems) fmt::print(stderr, "skipped {}\n", p);
    Progress progress("pairs", int64_t(d.records.size()));
    int64_t done = 0;
    for (const Record& r : d.records) {
      const fs::path image = r.image.size > 0 ? unpack(r.image, pictures, records)
                                              : fs::absolute(r.image.file).lexically_normal();
      nlohmann::ordered_json line;
      line["image"] = image.lexically_proximate(folder).string();
      line["captions"] = r.captions;
      if (!r.keywords.empty()) line["keywords"] = r.keywords;
      if (!r.kind.empty()) line["kind"] = r.kind;
      if (!r.split.empty()) line["split"] = r.split;
      file.write(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
      ++records;
      captions += int64_t(r.captions.size());
      progress.update(++done);
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
  c->add_option("sources", o->sources,
                "JSON lines, COCO or Karpathy JSON, folders, tar shards (their pictures are "
                "unpacked into a folder beside OUT: captions.jsonl has captions-pictures)")
      ->required();
  c->add_option("--split", o->split, "split to take; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
