// `mome bench loader`: the rate of making training pictures, from encoded files to augmented pixels.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "tools/bench_timing.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string source;
  LoaderOptions loader;
  int warmup = 4, steps = 20;
  bool json = false;
};

void run(Options o) {
  const Dataset dataset = open_dataset(o.source, "", {});
  o.loader.texts = false;
  check_augmentation(o.loader.augmentation);
  PairLoader loader(dataset, nullptr, o.loader, 0);
  for (int i = 0; i < o.warmup; ++i) loader.next();
  loader.waited();
  uint64_t sum = 0;  // of one pixel a batch: two programs that read the same pictures can be told
  const double seconds = seconds_of([&] {
    for (int i = 0; i < o.steps; ++i) sum += loader.next().images[0];
  });
  const double pictures = double(o.steps) * o.loader.batch, waited = loader.waited();
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"pictures", pictures},
                                      {"files", dataset.records.size()},
                                      {"threads", o.loader.threads},
                                      {"batch", o.loader.batch},
                                      {"seconds", seconds},
                                      {"pictures_per_s", pictures / seconds},
                                      {"waited_s", waited},
                                      {"bad", loader.bad_images()},
                                      {"value", sum},
                                      {"peak_rss_mib", peak_rss_mib()}}
                           .dump());
  } else {
    fmt::print("{}: {} pictures in {:.3f} s: {:.1f} a second, waited {:.3f} s, peak {:.0f} MiB\n",
               o.source, pictures, seconds, pictures / seconds, waited, peak_rss_mib());
  }
}

}  // namespace

void add_bench_loader_command(CLI::App& bench) {
  CLI::App* c = bench.add_subcommand("loader", "Time decoding and augmenting training pictures");
  auto o = std::make_shared<Options>();
  o->loader.batch = 32;
  o->loader.threads = 2;
  o->loader.cache_mib = 0;
  o->loader.augmentation.kind = "vlmo";
  c->add_option("source", o->source, "a folder of pictures, or any data set")->required();
  c->add_option("--size", o->loader.image_size, "side of the pictures made, pixels")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--batch", o->loader.batch, "pictures of a batch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--threads", o->loader.threads, "threads that make them")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--cache", o->loader.cache_mib, "MiB of decoded pictures kept")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--augmentation", o->loader.augmentation.kind, "none, vlmo or gentle")
      ->capture_default_str();
  c->add_option("--seed", o->loader.seed)->capture_default_str();
  c->add_option("--warmup", o->warmup, "batches made before the clock starts")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--steps", o->steps, "batches that are timed")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_flag("--json", o->json, "one JSON line");
  c->callback([o] { run(*o); });
}

}  // namespace mome
