// `mome data codebook`: learns discrete targets for masked image modelling.
#include <CLI/CLI.hpp>

#include "kernels/image/normalize.h"
#include "models/objectives/codebook.h"
#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/eval_reader.h"
#include "runtime/data/order.h"
#include "runtime/io/safetensors.h"
#include "runtime/log/progress.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string out, source, split, image_root;
  int64_t entries = 512, patch = 16, image_size = 64, samples = 50000, iterations = 20, seed = 1;
  double max_bad = 0.01;
};

void run(const Options& o) {
  if (o.patch < 1 || o.image_size < o.patch || o.image_size % o.patch)
    throw UsageError(
        fmt::format("--image-size {} is not a multiple of --patch {}", o.image_size, o.patch));
  if (o.entries < 1 || o.samples < o.entries || o.iterations < 1)
    throw UsageError("--entries and --iterations must be at least 1, --samples at least --entries");
  DatasetOptions source;
  source.image_root = o.image_root;
  source.max_bad = o.max_bad;
  const Dataset dataset = open_dataset(o.source, o.split, source);
  for (const std::string& p : dataset.problems) fmt::print(stderr, "skipped {}\n", p);
  // Pictures in random order until there are enough patches; all patches of a picture are taken.
  const int64_t per_image = (o.image_size / o.patch) * (o.image_size / o.patch),
                width = 3 * o.patch * o.patch;
  const std::vector<int32_t> order =
      permutation(int64_t(dataset.records.size()), uint64_t(o.seed), 0);
  const int64_t images =
      std::min<int64_t>(int64_t(order.size()), (o.samples + per_image - 1) / per_image);
  std::vector<float> patches;
  Progress progress("codebook pictures", images);
  EvalOptions options;
  options.image_size = int(o.image_size);
  options.max_bad = o.max_bad;
  options.log = [&](const std::string& line) { progress.note(line); };
  EvalReader reader(dataset, nullptr, options);
  int64_t used = 0;
  for (int64_t begin = 0; begin < images; begin += 64) {
    const int64_t n = std::min<int64_t>(64, images - begin);
    const Batch batch = reader.images(std::span(order).subspan(size_t(begin), size_t(n)));
    const size_t at = patches.size();
    patches.resize(at + size_t(batch.size * per_image * width));
    patches_from_images<float>(cpu, batch.images.data(), batch.size, int(o.image_size),
                               int(o.patch), Normalization{}, patches.data() + at);
    used += batch.size;
    progress.update(begin + n);
  }
  progress.finish();
  const int64_t rows = int64_t(patches.size()) / width;
  if (rows < o.entries)
    fail("{}: gives {} patches; expected at least {} (--entries)", o.source, rows, o.entries);
  Progress learning("codebook entries, then rounds", o.entries + o.iterations);
  const std::vector<float> entries =
      learn_codebook(rows, width, patches.data(), o.entries, o.iterations, uint64_t(o.seed),
                     [&](int64_t done) { learning.update(done); });
  learning.finish();
  const std::vector<TensorEntry> tensors = {
      {"codebook", "F32", {o.entries, width}, entries.data()}};
  write_safetensors(o.out, tensors,
                    {{"source", o.source},
                     {"image_size", std::to_string(o.image_size)},
                     {"patch", std::to_string(o.patch)},
                     {"split", o.split},
                     {"pictures", std::to_string(used)},
                     {"samples", std::to_string(rows)},
                     {"iterations", std::to_string(o.iterations)},
                     {"seed", std::to_string(o.seed)}});
  fmt::print("{}: {} entries of {} values, from {} patches of {} pictures\n", o.out, o.entries,
             width, rows, used);
}

}  // namespace

void add_data_codebook_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand(
      "codebook", "Learn a codebook of patches by k-means: discrete targets of stage 1");
  auto o = std::make_shared<Options>();
  c->add_option("out", o->out, "file to write (.safetensors); stages.image.codebook names it")
      ->required();
  c->add_option("source", o->source,
                "pictures: a folder, JSON lines, COCO or Karpathy JSON, tar shards")
      ->required();
  c->add_option("--split", o->split, "split to use; default all");
  c->add_option("--image-root", o->image_root, "folder of the images that a JSON names");
  c->add_option("--max-bad", o->max_bad, "share of broken records that is survived")
      ->capture_default_str();
  c->add_option("--entries", o->entries, "codes")->capture_default_str();
  c->add_option("--patch", o->patch, "pixels of a patch's side")->capture_default_str();
  c->add_option("--image-size", o->image_size, "pixels of a picture's side, as the model takes it")
      ->capture_default_str();
  c->add_option("--samples", o->samples, "patches to learn from, about")->capture_default_str();
  c->add_option("--iterations", o->iterations, "rounds of k-means")->capture_default_str();
  c->add_option("--seed", o->seed, "of the start")->capture_default_str();
  c->callback([o] { run(*o); });
}

}  // namespace mome
