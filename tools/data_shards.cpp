// `mome data shards`: any data set as WebDataset tar shards.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/read_bytes.h"
#include "runtime/data/tar.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string prefix, split, image_root;
  std::vector<std::string> sources;
  int64_t per_shard = 1000;
};

// The picture's type by its first bytes: shards name members by it.
std::string extension(const std::vector<uint8_t>& bytes, const std::string& name) {
  if (bytes.size() > 3 && bytes[0] == 0x89 && bytes[1] == 'P') return "png";
  if (bytes.size() > 3 && bytes[0] == 0xFF && bytes[1] == 0xD8) return "jpg";
  fail("{}: is neither PNG nor JPEG; shards hold those", name);
}

void run(const Options& o) {
  if (o.per_shard < 1) throw UsageError("--per-shard must be at least 1");
  DatasetOptions options;
  options.image_root = o.image_root;
  const Dataset d = open_datasets(o.sources, o.split, options);
  for (const std::string& p : d.problems) fmt::print(stderr, "skipped {}\n", p);
  const int64_t n = int64_t(d.records.size()), shards = (n + o.per_shard - 1) / o.per_shard;
  Progress progress("shards", n);
  for (int64_t s = 0; s < shards; ++s) {
    TarWriter tar(fmt::format("{}-{:05}.tar", o.prefix, s));
    for (int64_t i = s * o.per_shard; i < std::min(n, (s + 1) * o.per_shard); ++i) {
      const Record& r = d.records[size_t(i)];
      const std::vector<uint8_t> bytes = read_bytes(r.image);
      const std::string key = fmt::format("{:09}", i);
      tar.add(key + "." + extension(bytes, r.image.file),
              {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      nlohmann::ordered_json j;
      j["captions"] = r.captions;
      if (!r.keywords.empty()) j["keywords"] = r.keywords;
      if (!r.kind.empty()) j["kind"] = r.kind;
      if (!o.split.empty()) j["split"] = o.split;
      tar.add(key + ".json", j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      progress.update(i + 1);
    }
    tar.finish();
  }
  progress.finish();
  fmt::print("{}-{{00000..{:05}}}.tar: {} pictures in {} shards\n", o.prefix,
             std::max<int64_t>(0, shards - 1), n, shards);
}

}  // namespace

void add_data_shards_command(CLI::App& data) {
  CLI::App* c =
      data.add_subcommand("shards", "Write data sets of any format as WebDataset tar shards");
  auto o = std::make_shared<Options>();
  c->add_option("prefix", o->prefix, "shards are PREFIX-00000.tar, PREFIX-00001.tar, …")
      ->required();
  c->add_option("sources", o->sources, "JSON lines, COCO or Karpathy JSON, folders, tar shards")
      ->required();
  c->add_option("--split", o->split, "split to take; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--per-shard", o->per_shard, "pictures a shard")->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
