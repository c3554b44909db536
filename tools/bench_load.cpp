// `mome bench load`: times opening a checkpoint, and the first use of its weights.
#include <omp.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "models/checkpoints/shape.h"
#include "models/evaluation/retrieval.h"
#include "models/stages/checkpoint.h"
#include "runtime/core/error.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string file, write, use = "read";
  int threads = 0;
  bool json = false;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A function of its own: inside the parallel loop g++ keeps the sum in memory, which costs more
// than the reading that is timed.
[[gnu::noinline]] float sum_of(const float* values, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < count; ++k) sum += values[k];
  return sum;
}

// The sum of every parameter: each page of the file is read once.
double read_all(const MomeModel& model) {
  const ParameterSet& p = model.parameters();
  double total = 0;
  for (int i = 0; i < int(p.list().size()); ++i) {
    const Tensor t = p.value(i);
    const float* values = t.as<float>();
    constexpr int64_t kChunk = 1 << 18;
    std::vector<double> sums(size_t((t.count() + kChunk - 1) / kChunk));
    parallel_chunks(t.count(), kChunk, [&](int64_t begin, int64_t end) {
      sums[size_t(begin / kChunk)] = sum_of(values + begin, end - begin);
    });
    for (const double sum : sums) total += sum;
  }
  return total;
}

// The features of one grey picture and a text of ten tokens; returns the first.
double forward(MomeModel& model) {
  const ModelConfig& c = model.config();
  Batch batch;
  batch.size = 1;
  batch.image_size = int(c.image_size);
  batch.images.assign(size_t(3 * c.image_size * c.image_size), 100);
  batch.tokens.assign(size_t(std::min<int64_t>(10, c.text_length)), 1);
  batch.text_begin = {0, int32_t(batch.tokens.size())};
  batch.image_ids = batch.caption_ids = {0};
  batch.records = {0};
  Arena arena;
  std::vector<float> features;
  append_image_features(model, batch, arena, features);
  append_text_features(model, batch, arena, features);
  return features[0];
}

void run(const Options& o) {
  if (o.threads > 0) omp_set_num_threads(o.threads);
  if (!o.write.empty()) {
    if (std::filesystem::exists(o.file)) fail("{}: is there already", o.file);
    MomeModel model(published_config(o.write), ModelParts::stage_pairs());
    model.parameters().initialize(1);
    save_weights(model, o.file, false, {});
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<MomeModel> model = open_checkpoint(o.file);
  const double open_s = seconds_since(start);
  if (o.use == "forward" && !model->parts().itc)
    fail("{}: has no dual encoder; give --use read", o.file);
  const double value = o.use == "read" ? read_all(*model) : forward(*model);
  const double use_s = seconds_since(start);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double rss = double(usage.ru_maxrss) / 1024;
  const int64_t parameters = model->parameters().parameter_count();
  if (o.json)
    fmt::print("{}\n", nlohmann::json{{"parameters", parameters},
                                      {"threads", omp_get_max_threads()},
                                      {"open_s", open_s},
                                      {"use", o.use},
                                      {"use_s", use_s},
                                      {"value", value},
                                      {"peak_rss_mib", rss}}
                           .dump());
  else
    fmt::print("{}: {} parameters, opened in {:.4f} s, {} after {:.3f} s, peak {:.0f} MiB\n",
               o.file, parameters, open_s, o.use == "read" ? "all read" : "first features", use_s,
               rss);
}

}  // namespace

void add_bench_load_command(CLI::App& bench) {
  CLI::App* c = bench.add_subcommand("load", "Time opening a checkpoint");
  auto o = std::make_shared<Options>();
  c->add_option("file", o->file, "the checkpoint")->required();
  c->add_option("--write", o->write,
                "write the file instead: vlmo-base, vlmo-base-plus or vlmo-large at 224 pixels, "
                "stage 3, with random weights");
  c->add_option("--use", o->use,
                "the first use: read (every weight is summed), or forward (a picture and a text)")
      ->check(CLI::IsMember({"read", "forward"}))
      ->capture_default_str();
  c->add_option("--threads", o->threads, "0: all cores")->capture_default_str();
  c->add_flag("--json", o->json, "one JSON line");
  c->callback([o] { run(*o); });
}

}  // namespace mome
