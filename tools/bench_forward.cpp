// `mome bench forward`: times one encoder's forward pass on made-up inputs: images alone, texts
// alone, or both fused. All tokens' states are computed, texts have the full length.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/common/gemm.h"
#include "kernels/common/philox.h"
#include "models/objectives/objectives.h"
#include "tools/bench_models.h"
#include "tools/bench_timing.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string model = "base", part = "fusion";
  int64_t batch = 8, image_size = 0, steps = 5, warmup = 1;
  int threads = 0;
  bool json = false;
};

// [B, S, S, 3], uniform bytes.
Batch made_up_images(int64_t n, int64_t size) {
  Batch b;
  b.size = int(n);
  b.image_size = int(size);
  b.images.resize(size_t(n * size * size * 3));
  RandomStream random(1, 0, Purpose::kSynthetic, 0);
  for (uint8_t& v : b.images) v = uint8_t(random.next());
  return b;
}

// Texts of the longest length: what a padded batch computes is all real here.
void add_texts(ForwardInputs& in, int64_t n, const ModelConfig& c) {
  RandomStream random(1, 0, Purpose::kSynthetic, 1);
  for (int64_t b = 0; b < n; ++b) {
    in.text_lengths.push_back(int32_t(c.text_length));
    for (int64_t t = 0; t < c.text_length; ++t)
      in.tokens.push_back(t == 0 ? 2
                          : t + 1 == c.text_length
                              ? 3
                              : 5 + int32_t(random.below(uint32_t(c.vocabulary - 5))));
  }
}

// Mean of |x|: some number of the states, so that two runs can be told to have done the same.
double mean_size(Tape& tape, const Tensor& states) {
  std::vector<float> host(size_t(states.count()));
  dispatch(tape.device(), states.dtype, [&]<class T>(auto& q) {
    if constexpr (std::is_same_v<T, float>) q.download(host.data(), states.data, states.bytes());
  });
  double sum = 0;
  for (const float v : host) sum += std::abs(double(v));
  return sum / double(host.size());
}

void run(const Options& o) {
  if (o.threads > 0) omp_set_num_threads(o.threads);
  const bool images = o.part != "text", texts = o.part != "image";
  ModelConfig config = bench_model(o.model).config;
  if (o.image_size > 0) config.image_size = o.image_size;
  if (config.image_size % config.patch != 0)
    throw UsageError(fmt::format("--image-size {}: must be a multiple of the patch's {} pixels",
                                 config.image_size, config.patch));
  MomeModel model(config, ModelParts::stage_pairs());
  model.parameters().initialize(1);
  const Batch batch = images ? made_up_images(o.batch, config.image_size) : Batch();
  ForwardInputs in;
  if (images) in.images = o.batch;
  if (texts) add_texts(in, o.batch, config);
  std::vector<SequenceSpec> sequences{size_t(o.batch)};
  for (int64_t b = 0; b < o.batch; ++b) {
    SequenceSpec& s = sequences[size_t(b)];
    if (images) s.image = int32_t(b), s.read_all_image = true;
    if (texts) s.text = int32_t(b), s.read_all_text = true;
  }
  const int64_t tokens =
      o.batch * ((images ? config.patches() + 1 : 0) + (texts ? config.text_length : 0));

  Arena arena;
  std::vector<double> seconds;
  double size = 0;
  int64_t flops = 0;
  for (int64_t step = 0; step < o.warmup + o.steps; ++step) {
    const int64_t before = gemm_count().flops;
    Tape tape(arena, false);
    ForwardOutput out;
    std::shared_ptr<MomeLayout> layout;
    const double s = seconds_of([&] {
      if (images) in.patches = batch_patches(model, batch, arena);
      layout = model.layout(in, sequences);
      out = model.forward(tape, in, *layout, {});
    });
    MOME_CHECK(out.states->rows() == tokens);
    if (step >= o.warmup) seconds.push_back(s), flops = gemm_count().flops - before;
    size = mean_size(tape, out.states->value);
    if (images) arena.release(in.patches.data);
  }
  const double s = median(seconds), gflop = double(flops) * 1e-9;
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"model", o.model},
                                      {"part", o.part},
                                      {"image_size", images ? config.image_size : 0},
                                      {"batch", o.batch},
                                      {"tokens", tokens},
                                      {"steps", o.steps},
                                      {"threads", omp_get_max_threads()},
                                      {"sequences_per_s", double(o.batch) / s},
                                      {"step_s", s},
                                      {"gflop", gflop},
                                      {"gf_s", gflop / s},
                                      {"mean_size", size},
                                      {"peak_rss_mib", peak_rss_mib()}}
                           .dump());
    return;
  }
  fmt::print(
      "{} {}, {} sequences, {} tokens: {:.2f} sequences/s, {:.4f} s a pass (median of {}), {:.1f} "
      "GFLOP of products at {:.1f} GF/s, peak {:.0f} MiB\n",
      o.model, o.part, o.batch, tokens, double(o.batch) / s, s, seconds.size(), gflop, gflop / s,
      peak_rss_mib());
}

}  // namespace

void add_bench_forward_command(CLI::App& bench) {
  CLI::App* c = bench.add_subcommand("forward", "Time an encoder's forward pass, random weights");
  auto o = std::make_shared<Options>();
  c->add_option("--model", o->model, "tiny, small or base (VLMo-Base)")->capture_default_str();
  c->add_option("--part", o->part, "image, text or fusion: what is encoded")
      ->check(CLI::IsMember({"image", "text", "fusion"}))
      ->capture_default_str();
  c->add_option("--image-size", o->image_size, "pixels; 0: the model's")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--batch", o->batch, "sequences a pass")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--steps", o->steps, "timed passes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--warmup", o->warmup, "passes before the clock starts")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  c->add_option("--threads", o->threads, "0: all cores")->capture_default_str();
  c->add_flag("--json", o->json, "one JSON line");
  c->callback([o] { run(*o); });
}

}  // namespace mome
