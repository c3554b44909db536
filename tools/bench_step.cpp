// `mome bench step`: times whole training steps on made-up inputs of a model's shapes.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/common/gemm.h"
#include "kernels/common/philox.h"
#include "models/objectives/ranks.h"
#include "models/stages/trainer.h"
#include "runtime/comm/open.h"
#include "runtime/optim/optimizer.h"
#include "runtime/optim/schedule.h"
#include "tools/bench_models.h"
#include "tools/bench_timing.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string model = "tiny", stage = "pairs", device = "cpu", dtype = "f32";
  int64_t batch = 0, steps = 10, warmup = 2;
  int threads = 0;
  bool json = false, zero = false;
  std::string recompute = "none";
  int64_t bucket_mib = 25, accumulate = 1;
};

// Lengths of COCO captions in tokens, [CLS] and [SEP] included: mean 12, standard deviation 3, 6 … 40; stage text: uniform 60 … 196.
int text_length(const std::string& stage, RandomStream& random) {
  if (stage == "text") return 60 + int(random.below(137));
  return std::clamp(int(std::lround(12 + 3 * random.normal())), 6, 40);
}

// `size` samples of rank number `rank`.
Batch made_up(const Options& o, int64_t size, int rank, const ModelConfig& c, uint64_t step) {
  RandomStream random(1, step, Purpose::kSynthetic, uint64_t(rank));
  Batch b;
  b.size = int(size);
  if (o.stage != "text") {
    b.image_size = c.image_size;
    b.images.resize(size_t(size * c.image_size * c.image_size * 3));
    for (uint8_t& v : b.images) v = uint8_t(random.next());
  }
  if (o.stage != "image") {
    b.text_begin.push_back(0);
    for (int64_t i = 0; i < size; ++i) {
      const int n = text_length(o.stage, random);
      for (int t = 0; t < n; ++t)
        b.tokens.push_back(t == 0 ? 2 : t == n - 1 ? 3 : 5 + int32_t(random.below(uint32_t(c.vocabulary - 5))));
      b.text_begin.push_back(int32_t(b.tokens.size()));
    }
  }
  for (int64_t i = 0; i < size; ++i) {
    b.image_ids.push_back(rank * size + i);
    b.caption_ids.push_back(rank * size + i);
    b.records.push_back(int32_t(i));
  }
  return b;
}

void bench_step(Options o) {
  const BenchModel chosen = bench_model(o.model);
  ModelConfig config = chosen.config;
  if (o.batch == 0) o.batch = chosen.batch;
  if (o.steps < 1 || o.warmup < 0 || o.batch < 1) throw UsageError("--steps and --batch must be at least 1, --warmup at least 0");
  if (o.threads > 0) omp_set_num_threads(o.threads);
  if (o.stage == "text") config.text_length = 196;
  const ModelParts parts = o.stage == "image"   ? ModelParts::stage_image()
                           : o.stage == "text"  ? ModelParts::stage_text()
                           : o.stage == "pairs" ? ModelParts::stage_pairs()
                                                : throw UsageError(fmt::format("--stage {}: expected image, text or pairs", o.stage));
  // A vocabulary of numbered words: masking asks whether a token continues a word.
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  while (int64_t(tokens.size()) < config.vocabulary) tokens.push_back(fmt::format("w{}", tokens.size()));
  const WordPiece words = WordPiece::from_tokens(tokens, "made-up vocabulary");

  const World world = world_from_environment();
  if (o.batch % world.size != 0) throw UsageError(fmt::format("--batch {} cannot be split over {} ranks", o.batch, world.size));
  const int64_t size = o.batch / world.size;
  const std::unique_ptr<Device> device = Device::open(local_device(o.device, world));
  const std::unique_ptr<Communicator> ranks = open_communicator(*device);
  const DType dtype = o.dtype == "f32"    ? DType::kF32
                      : o.dtype == "fp16" ? DType::kF16
                      : o.dtype == "bf16" ? DType::kBF16
                                          : throw UsageError(fmt::format("--dtype {}: expected f32, fp16 or bf16", o.dtype));
  if (dtype != DType::kF32 && device->is_host()) throw UsageError("--dtype fp16 and bf16 are for GPUs");
  MomeModel model(config, parts, dtype, *device);
  model.parameters().initialize(1);
  StagesConfig stages;
  for (StageConfig* s : {static_cast<StageConfig*>(&stages.image), static_cast<StageConfig*>(&stages.text), static_cast<StageConfig*>(&stages.pairs)})
    s->recompute = o.recompute, s->accumulate = o.accumulate;
  const StageConfig& stage = o.stage == "image" ? static_cast<StageConfig&>(stages.image)
                             : o.stage == "text" ? static_cast<StageConfig&>(stages.text)
                                                 : static_cast<StageConfig&>(stages.pairs);
  apply_rules(model.parameters(), stage);
  std::optional<GradientSync> sync;
  if (ranks) sync.emplace(model.parameters(), *ranks, GradientSyncOptions{o.bucket_mib << 20, o.zero});
  Optimizer optimizer(model.parameters(), {}, sync ? &*sync : nullptr);
  optimizer.set_rate(1e-4);
  Arena arena(*device);
  std::vector<double> seconds;
  double loss = 0;
  int64_t flops = 0;
  Lane::Seconds exchange;
  for (int64_t step = 0; step < o.warmup + o.steps; ++step) {
    const Batch batch = made_up(o, size, world.rank, config, uint64_t(step));
    const StepContext context{arena, 1, uint64_t(step), true, dtype == DType::kF16 ? optimizer.loss_scale() : nullptr, ranks.get(), sync ? &*sync : nullptr};
    const int64_t before = gemm_count().flops;
    const double s = seconds_of([&] {
      model.parameters().zero_grads();
      const Metrics m = o.stage == "image"  ? image_step(model, stages.image, batch, nullptr, context)
                        : o.stage == "text" ? text_step(model, stages.text, batch, words, context)
                                            : pair_step(model, stages.pairs, batch, words, true, context);
      if (sync) sync->finish();
      optimizer.step();
      if (sync && step + 1 == o.warmup + o.steps) sync->settle();
      device->synchronize();
      loss = m.get("loss");
    });
    const Lane::Seconds now = sync ? sync->seconds() : Lane::Seconds{};
    if (step >= o.warmup) {
      exchange.busy += now.busy / double(o.steps);
      exchange.waited += now.waited / double(o.steps);
      seconds.push_back(s);
      flops += gemm_count().flops - before;
    }
  }
  const size_t n = seconds.size();
  // Ranks step together; the memory is all of theirs.
  double step_s = median(seconds), rss = peak_rss_mib();
  if (ranks) {
    const auto sums = sum_over_ranks(ranks.get(), {rss, step_s});
    rss = sums[0], step_s = sums[1] / world.size;
  }
  if (world.rank != 0) return;
  const double gflop = double(flops) / double(n) * 1e-9;
  nlohmann::json out = {{"model", o.model}, {"stage", o.stage}, {"device", o.device}, {"dtype", o.dtype}, {"batch", o.batch}, {"steps", o.steps},
                        {"threads", omp_get_max_threads()}, {"pairs_per_s", double(o.batch) / step_s}, {"step_s", step_s},
                        {"peak_rss_mib", rss}, {"arena_peak_mib", double(arena.peak()) / (1 << 20)},
                        {"gflop_real", gflop}, {"gf_s_real", gflop / step_s}, {"recompute", o.recompute}, {"loss", loss}, {"ranks", world.size}};
  if (ranks) {
    out["zero"] = o.zero;
    out["bucket_mib"] = o.bucket_mib;
    out["exchange_s"] = exchange.busy;
    out["exchange_waited_s"] = exchange.waited;
  }
  if (o.json) fmt::print("{}\n", out.dump());
  else
    fmt::print("{} {} batch {}: {:.2f} samples/s, {:.4f} s a step (median of {}), {:.1f} GFLOP of products a step at {:.1f} GF/s{}, peak {:.0f} MiB{}\n",
               o.model, o.stage, o.batch, double(o.batch) / step_s, step_s, n, gflop, gflop / step_s, ranks ? " a rank" : "", rss,
               ranks ? fmt::format(" over {} ranks; gradients take {:.4f} s a step, {:.4f} of it waited for", world.size, exchange.busy, exchange.waited) : "");
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure the engine on this machine");
  bench->require_subcommand(1);
  add_bench_embed_command(*bench);
  add_bench_forward_command(*bench);
  add_bench_load_command(*bench);
  add_bench_loader_command(*bench);
  add_bench_search_command(*bench);
  CLI::App* step = bench->add_subcommand("step", "Time whole training steps on made-up inputs");
  auto o = std::make_shared<Options>();
  step->add_option("--model", o->model, "tiny (4 layers, D 192, 96 px), small (6, 256, 128 px) or base (VLMo-Base)")->capture_default_str();
  step->add_option("--stage", o->stage, "image, text or pairs")->capture_default_str();
  step->add_option("--batch", o->batch, "samples a step, over all ranks; 0: tiny 32, small 16, base 4")->capture_default_str();
  step->add_option("--steps", o->steps, "timed steps")->capture_default_str();
  step->add_option("--warmup", o->warmup, "steps before the clock starts")->capture_default_str();
  step->add_option("--device", o->device, "cpu, cuda, cuda:N or simt")->capture_default_str();
  step->add_option("--dtype", o->dtype, "f32, fp16 or bf16; 16 bits on a GPU")->capture_default_str();
  step->add_option("--threads", o->threads, "0: all cores")->capture_default_str();
  step->add_flag("--zero", o->zero, "several ranks (mome launch -n N bench step …): shard the optimiser, ZeRO-1");
  step->add_option("--bucket-mib", o->bucket_mib, "several ranks: gradients go out in such buckets")->capture_default_str()->check(CLI::PositiveNumber);
  step->add_option("--accumulate", o->accumulate, "micro-batches of a step")->capture_default_str()->check(CLI::PositiveNumber);
  step->add_option("--recompute", o->recompute, "none, experts or blocks: what backward makes again")->capture_default_str();
  step->add_flag("--json", o->json, "one JSON line");
  step->callback([o] { bench_step(*o); });
}

}  // namespace mome
