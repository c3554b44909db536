// `mome bench embed`: the rates of `mome embed` with random weights: reading pictures, and the
// encoder, of a data set as it lies in its files.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "models/checkpoints/shape.h"
#include "models/evaluation/features.h"
#include "runtime/data/dataset.h"
#include "tools/bench_timing.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  std::string model = "vlmo-base", data;
  int64_t batch = 16, image_size = 224;
  int threads = 0;
  bool json = false;
};

class Clock {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double s = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return s;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// A vocabulary of numbered words of the published size: captions are read as [UNK] or letters, as
// many tokens as they have words.
WordPiece made_up_vocabulary(int64_t size) {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  while (int64_t(tokens.size()) < size) tokens.push_back(fmt::format("w{}", tokens.size()));
  return WordPiece::from_tokens(tokens, "made-up vocabulary");
}

void run(const Options& o) {
  if (o.threads > 0) omp_set_num_threads(o.threads);
  const ModelConfig config = published_config(o.model, o.image_size);
  MomeModel model(config, ModelParts::stage_pairs());
  model.parameters().initialize(1);
  const WordPiece words = made_up_vocabulary(config.vocabulary);
  const Dataset dataset = open_dataset(o.data, "", {});
  EvalOptions reading;
  reading.image_size = int(config.image_size);
  reading.text_length = int(config.text_length);
  reading.max_bad = 0;
  reading.cache_mib = 0;
  EvalReader reader(dataset, &words, reading);
  Arena arena;
  const auto batches = [&](const auto& all, auto&& f) {
    for (size_t i = 0; i < all.size(); i += size_t(o.batch))
      f(std::span(all).subspan(i, std::min(size_t(o.batch), all.size() - i)));
  };

  const std::vector<int32_t> records = all_records(dataset);
  const std::vector<TextRef> captions = all_captions(dataset);
  if (captions.empty()) fail("{}: has no captions: there is no rate of texts", o.data);
  double read_images = 0, encode_images = 0, read_texts = 0, encode_texts = 0;
  int64_t tokens = 0;
  for (const bool warm : {true, false}) {  // the first batch alone, then all
    std::vector<float> features;
    read_images = encode_images = read_texts = encode_texts = 0;
    tokens = 0;
    const size_t most = warm ? size_t(o.batch) : SIZE_MAX;
    Clock clock;
    batches(std::span(records).first(std::min(most, records.size())), [&](auto some) {
      clock.lap();
      const Batch batch = reader.images(some);
      read_images += clock.lap();
      append_image_features(model, batch, arena, features);
      encode_images += clock.lap();
    });
    batches(std::span(captions).first(std::min(most, captions.size())), [&](auto some) {
      clock.lap();
      const Batch batch = reader.texts(some);
      read_texts += clock.lap();
      append_text_features(model, batch, arena, features);
      encode_texts += clock.lap();
      tokens += int64_t(batch.tokens.size());
    });
  }
  const double n = double(records.size()), m = double(captions.size());
  const nlohmann::json out = {{"model", o.model},
                              {"image_size", config.image_size},
                              {"batch", o.batch},
                              {"threads", omp_get_max_threads()},
                              {"images", records.size()},
                              {"texts", captions.size()},
                              {"tokens_per_text", double(tokens) / m},
                              {"images_per_s", n / (read_images + encode_images)},
                              {"read_images_per_s", n / read_images},
                              {"encode_images_per_s", n / encode_images},
                              {"texts_per_s", m / (read_texts + encode_texts)},
                              {"read_texts_per_s", m / read_texts},
                              {"encode_texts_per_s", m / encode_texts},
                              {"peak_rss_mib", peak_rss_mib()}};
  if (o.json) {
    fmt::print("{}\n", out.dump());
    return;
  }
  fmt::print(
      "{} at {}, batch {}, {} threads: {:.2f} images/s (reading {:.1f}, encoder {:.2f}), {:.1f} "
      "texts/s of {:.1f} tokens (encoder {:.1f}), peak {:.0f} MiB\n",
      o.model, config.image_size, o.batch, omp_get_max_threads(), n / (read_images + encode_images),
      n / read_images, n / encode_images, m / (read_texts + encode_texts), double(tokens) / m,
      m / encode_texts, peak_rss_mib());
}

}  // namespace

void add_bench_embed_command(CLI::App& bench) {
  CLI::App* c = bench.add_subcommand("embed", "Time embedding with random weights");
  auto o = std::make_shared<Options>();
  c->add_option("--data", o->data, "pictures with captions, as `mome embed` takes them")
      ->required();
  c->add_option("--model", o->model, "vlmo-base, vlmo-base-plus or vlmo-large")
      ->capture_default_str();
  c->add_option("--image-size", o->image_size, "pixels")->capture_default_str();
  c->add_option("--batch", o->batch, "samples a forward pass")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--threads", o->threads, "0: all cores")->capture_default_str();
  c->add_flag("--json", o->json, "one JSON line");
  c->callback([o] { run(*o); });
}

}  // namespace mome
