// `mome data shards`: any data set as WebDataset tar shards.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "runtime/core/error.h"
#include "runtime/data/bad_images.h"
#include "runtime/data/dataset.h"
#include "runtime/data/read_bytes.h"
#include "runtime/data/tar.h"
#include "runtime/image/decode.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string prefix, split, image_root;
  std::vector<std::string> sources;
  int64_t per_shard = 1000;
  double max_bad = 0.01;
};

struct Picture {
  std::vector<uint8_t> bytes;  // as they are in the source
  std::string error;           // why it cannot be read; else empty
};

// Decoded to know that it can be: what is broken now would be broken in every run on the shards.
Picture read_picture(const ImageRef& image) {
  Picture p;
  try {
    p.bytes = read_bytes(image);
    decode_image(p.bytes, image_name(image));
  } catch (const std::exception& e) {
    p.error = e.what();
  }
  return p;
}

// The type of a picture that could be decoded, by its first bytes: members are named by it.
const char* extension(const std::vector<uint8_t>& bytes) {
  return bytes[0] == 0x89 ? "png" : bytes[0] == 0xFF ? "jpg" : "bmp";
}

std::string json_of(const Record& r) {
  nlohmann::ordered_json j;
  j["captions"] = r.captions;
  if (!r.keywords.empty()) j["keywords"] = r.keywords;
  if (!r.kind.empty()) j["kind"] = r.kind;
  if (!r.split.empty()) j["split"] = r.split;
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void run(const Options& o) {
  if (o.per_shard < 1) throw UsageError("--per-shard must be at least 1");
  DatasetOptions options;
  options.image_root = o.image_root;
  options.max_bad = o.max_bad;
  const Dataset d = open_datasets(o.sources, o.split, options);
  for (const std::string& p : d.problems) fmt::print(stderr, "skipped {}\n", p);
  const int64_t n = int64_t(d.records.size());
  Progress progress("shards", n);
  BadImages bad(d, o.max_bad, [&](const std::string& line) { progress.note(line); });
  std::unique_ptr<TarWriter> tar;
  int64_t kept = 0, shards = 0;
  constexpr int64_t kChunk = 64;  // pictures that are read at a time, on all cores
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    std::vector<Picture> pictures(size_t(std::min(kChunk, n - begin)));
    parallel_chunks(int64_t(pictures.size()), 1, [&](int64_t i, int64_t) {
      pictures[size_t(i)] = read_picture(d.records[size_t(begin + i)].image);
    });
    for (size_t i = 0; i < pictures.size(); ++i) {
      const Picture& picture = pictures[i];
      if (!picture.error.empty()) {
        bad.note({int32_t(begin + int64_t(i)), picture.error});
        continue;
      }
      if (kept % o.per_shard == 0) {
        if (tar) tar->finish();
        tar = std::make_unique<TarWriter>(fmt::format("{}-{:05}.tar", o.prefix, shards++));
      }
      const std::string key = fmt::format("{:09}", kept++);
      tar->add(key + "." + extension(picture.bytes),
               {reinterpret_cast<const char*>(picture.bytes.data()), picture.bytes.size()});
      tar->add(key + ".json", json_of(d.records[size_t(begin) + i]));
    }
    progress.update(begin + int64_t(pictures.size()));
  }
  tar->finish();  // there is one: BadImages never lets all be bad
  progress.finish();
  fmt::print("{}-{{00000..{:05}}}.tar: {} pictures in {} shards", o.prefix, shards - 1, kept,
             shards);
  if (bad.count() > 0) fmt::print("; {} broken pictures skipped", bad.count());
  fmt::print("\n");
}

}  // namespace

void add_data_shards_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand("shards", "Write data sets of any format as WebDataset shards");
  auto o = std::make_shared<Options>();
  c->add_option("prefix", o->prefix, "shards are PREFIX-00000.tar, PREFIX-00001.tar, …")
      ->required();
  c->add_option("sources", o->sources, "JSON lines, COCO or Karpathy JSON, folders, tar shards")
      ->required();
  c->add_option("--split", o->split, "split to take; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--per-shard", o->per_shard, "pictures a shard")->capture_default_str();
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
