#include "models/plan/shapes.h"

#include <algorithm>
#include <cmath>

#include "models/checkpoints/shape.h"
#include "models/plan/official.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kBertVocabulary = 30522;
// HF's and torch's unfused AdamW: about eight elementwise passes over float state, weights and
// gradients. This engine's: reads master, moments and gradient, writes master, moments and the
// 16-bit copy (kernels/adamw), and zeroes the gradient.
constexpr double kUnfusedAdamW = 100, kFusedAdamW = 34;

void no_option(bool given, const std::string& name, const char* option, const char* why) {
  if (given) throw UsageError(fmt::format("{}: {} is not for it: {}", option, name, why));
}

int64_t side_of(int64_t image_size, int64_t published, int64_t patch, const std::string& name) {
  const int64_t size = image_size > 0 ? image_size : published;
  if (size % patch)
    throw UsageError(fmt::format(
        "--image-size {}: {} has patches of {}: a multiple of it is expected", size, name, patch));
  return size / patch;
}

// VLMo (microsoft/unilm, folder vlmo): stage 3 runs masked words, image and text alone with their
// VL tails, and three matching passes, each padded to the longest text; every rank computes all
// similarities and gathers the raw images of all ranks in float.
PlannedModel official_vlmo(const std::string& name, const ShapeOptions& o) {
  const ModelConfig c = vlmo_config(name, o);
  PlannedModel m;
  m.parameters = double(parameter_count(c, o.stage));
  m.trained = double(parameter_count(c, o.stage, true));
  const double d = double(c.width), image = double(c.patches() + 1), text = double(c.text_length),
               pixels = 3.0 * double(c.patch * c.patch);
  const Tower base{0, 0, d, double(c.heads), double(c.layers)};
  const DType dtype = o.dtype;
  const Stage stage = o.stage;
  m.tokens = int64_t(stage == Stage::kImage ? image : stage == Stage::kText ? text : image + text);
  if (stage == Stage::kPairs) {
    m.contrast_width = 2 * 2 * d;
    m.negative_bytes = 4 * 3.0 * double(c.image_size * c.image_size) + 16 * text;
    m.gathers_all = true;
  }
  m.passes = [=](int64_t local, int64_t all) {
    Work w;
    const double b = double(local), n = double(all),
                 tail = double(std::max<int64_t>(0, c.layers - c.vl_from));
    Tower t = base;
    if (stage == Stage::kImage) {  // BEiT: 75 of 196 patches, codes of 8,192
      t.sequences = b, t.tokens = image;
      add_tower(w, t, dtype);
      add_linear(w, b * double(c.patches()), pixels, d, false);
      add_linear(w, b * std::round(75.0 / 196 * double(c.patches())), d, 8192);
      return std::vector<Work>{w};
    }
    if (stage == Stage::kText) {
      t.sequences = b, t.tokens = text, t.train_attention = false;
      add_tower(w, t, dtype);
      add_word_head(w, b * text, d, double(c.vocabulary), dtype);
      return std::vector<Work>{w};
    }
    t.sequences = 4 * b, t.tokens = image + text;
    add_tower(w, t, dtype);
    t.sequences = b, t.layers = double(c.layers) + tail;
    t.tokens = image;
    add_tower(w, t, dtype);
    t.tokens = text;
    add_tower(w, t, dtype);
    add_linear(w, 5 * b * double(c.patches()), pixels, d, false);
    add_word_head(w, b * text, d, double(c.vocabulary), dtype);
    add_linear(w, 4 * b, d, d);                          // four contrast projections
    add_linear(w, 3 * b, d, d);                          // pooler
    for (int i = 0; i < 4; ++i) add_linear(w, n, d, n);  // similarities, both directions, both ways
    w.saved += 4 * 4 * n * n;
    return std::vector<Work>{w};
  };
  return m;
}

// ViLT (dandelin/ViLT): a pass for masked words and one for matching, text padded to 40, patches of
// 32 of images padded to the batch's largest grid, which the cap of 200 cuts.
PlannedModel vilt(const ShapeOptions& o) {
  no_option(o.image_size > 0, "vilt", "--image-size",
            "its images keep their shape, and 200 patches is what a batch is cut to");
  const double text = o.text_length > 0 ? double(o.text_length) : 40, patches = 200,
               tokens = text + 1 + patches;
  PlannedModel m;
  // Body 87.4 million, texts' embeddings (30522 words and 40 positions), masked words' head,
  // pooler.
  m.parameters = m.trained =
      87.4e6 + (kBertVocabulary + 44) * 768 + 768 * 768 * 2 + kBertVocabulary * 769;
  m.tokens = int64_t(tokens);
  const DType dtype = o.dtype;
  m.passes = [=](int64_t local, int64_t) {
    Work w;
    const double b = double(local);
    add_tower(w, {2 * b, tokens}, dtype);
    add_linear(w, 2 * b * patches, 3.0 * 32 * 32, 768, false);
    add_word_head(w, b * text, 768, kBertVocabulary, dtype);
    add_linear(w, b, 768, 768);
    return std::vector<Work>{w};
  };
  return m;
}

// ALBEF (salesforce/ALBEF): ViT-B/16 on 256 pixels, BERT's lower six layers alone, the upper six
// with cross-attention; matching on 3 B, masked words through all twelve; the momentum copies run
// image, text and masked words forward; a queue of 65,536 features.
PlannedModel albef(const ShapeOptions& o) {
  const double side = double(side_of(o.image_size, 256, 16, "albef")), image = side * side + 1;
  const double text = o.text_length > 0 ? double(o.text_length) : 25, queue = 65536, d = 768;
  PlannedModel m;
  m.parameters = m.trained = m.momentum_copies = 209.5e6;
  m.contrast_width = 2 * 256;
  m.tokens = int64_t(image);
  const DType dtype = o.dtype;
  m.passes = [=](int64_t local, int64_t) {
    Work w;
    const double b = double(local);
    for (const bool backward : {true, false}) {
      const Tower lower{b, text, d, 12, 6, 0, backward};
      Tower fusion{b, text, d, 12, 6, image, backward};
      add_tower(w, {b, image, d, 12, 12, 0, backward}, dtype);
      add_linear(w, b * side * side, d, d, false, backward);
      add_tower(w, lower, dtype);  // contrast
      add_tower(w, lower, dtype);  // masked words
      add_tower(w, fusion, dtype);
      add_word_head(w, b * text, d, kBertVocabulary, dtype, backward);
      add_linear(w, b, 256, 2 * (b + queue), true, backward);
      fusion.sequences = 3 * b;
      if (backward) add_tower(w, fusion, dtype);  // matching has no momentum twin
    }
    w.saved += 4 * 4 * b * (b + queue);
    return std::vector<Work>{w};
  };
  return m;
}

// CLIP as OpenCLIP trains it: ViT-B and a text transformer of width 512 over 77 tokens, contrast of
// local against all.
PlannedModel clip(const std::string& name, double patch, double parameters, const ShapeOptions& o) {
  const double side = double(side_of(o.image_size, 224, int64_t(patch), name)),
               image = side * side + 1;
  no_option(o.text_length > 0, name, "--text-length", "its positions are 77");
  PlannedModel m;
  m.parameters = m.trained = parameters;
  m.contrast_width = 2 * 512;
  m.tokens = int64_t(image);
  const DType dtype = o.dtype;
  m.passes = [=](int64_t local, int64_t all) {
    Work w;
    const double b = double(local);
    add_tower(w, {b, image}, dtype);
    add_tower(w, {b, 77, 512, 8}, dtype);
    add_linear(w, b * side * side, 3 * patch * patch, 768, false);
    add_linear(w, b, 768, 512);
    add_linear(w, b, 512, 512);
    add_linear(w, b, 512, 2 * double(all));
    w.saved += 2 * 4 * b * double(all);
    return std::vector<Work>{w};
  };
  return m;
}

PlannedModel vit(const ShapeOptions& o) {
  const double side = double(side_of(o.image_size, 224, 16, "vit-b16"));
  PlannedModel m;
  m.parameters = m.trained = 86.57e6;
  m.tokens = int64_t(side * side + 1);
  const DType dtype = o.dtype;
  m.passes = [=](int64_t local, int64_t) {
    Work w;
    const double b = double(local);
    add_tower(w, {b, side * side + 1}, dtype);
    add_linear(w, b * side * side, 768, 768, false);
    add_linear(w, b, 768, 1000);
    return std::vector<Work>{w};
  };
  return m;
}

}  // namespace

const std::vector<PublishedRun>& published_runs() {
  constexpr DType kHalf = DType::kF16, kFloat = DType::kF32;
  // Steps of epochs: samples / batch. ALBEF 30 x 5.1 M pairs / 512; CLIP 32 x 400 M / batch; ViT
  // 300 x 1.281 M / 4096.
  static const std::vector<PublishedRun> runs = {
      {"vlmo-base", "v100-32", 64, 1024, 200000, kHalf, 2, 2, false,
       "VLMo paper: 64 V100, about 2 days"},
      {"vlmo-large", "v100-32", 128, 1024, 200000, kHalf, 3, 3, false,
       "VLMo paper: 128 V100, about 3 days"},
      {"vilt", "v100-32", 64, 4096, 200000, kHalf, 3, 3, false,
       "ViLT issue 64: 64 V100, about 3 days (read as those of 200,000 steps)"},
      {"albef", "a100-40", 8, 512, 298828, kFloat, 2, 4, false,
       "ALBEF issues 31 and 60: 8 A100, 2 to 4 days on 4 M images"},
      {"clip-b32", "a100-40", 128, 32768, 390625, kHalf, 1.497, 1.497, true,
       "OpenCLIP: 128 A100, 36 hours, 773 samples/s a GPU"},
      {"clip-b16", "a100-40", 176, 33792, 378788, kHalf, 2.535, 2.535, true,
       "OpenCLIP: 176 A100, 61 hours, 332 samples/s a GPU"},
      {"vit-b16", "a100-80", 32, 4096, 93823, kFloat, 0.75, 0.75, true,
       "mmpretrain issue 1741: 32 A100, 18 hours, no AMP"},
  };
  return runs;
}

const PublishedRun* published_run(const std::string& model) {
  for (const PublishedRun& run : published_runs())
    if (run.model == model) return &run;
  return nullptr;
}

ModelConfig vlmo_config(const std::string& name, const ShapeOptions& o) {
  ModelConfig c = published_config(name, o.image_size > 0 ? o.image_size : 224);
  if (o.stage == Stage::kText) c.text_length = 196;
  if (o.text_length > 0) c.text_length = o.text_length;
  check(c);
  return c;
}

PlannedModel official_model(const std::string& name, const ShapeOptions& o) {
  if (!is_vlmo(name)) no_option(o.stage != Stage::kPairs, name, "--stage", "the stages are VLMo's");
  PlannedModel m;
  if (name == "vlmo-base" || name == "vlmo-base-plus" || name == "vlmo-large")
    m = official_vlmo(name, o);
  else if (name == "vilt")
    m = vilt(o);
  else if (name == "albef")
    m = albef(o);
  else if (name == "clip-b32")
    m = clip(name, 32, 151.28e6, o);
  else if (name == "clip-b16")
    m = clip(name, 16, 149.62e6, o);
  else if (name == "vit-b16")
    m = vit(o);
  else
    throw UsageError(
        fmt::format("--model {}: unknown; known are vlmo-base, vlmo-base-plus, vlmo-large, vilt, "
                    "albef, clip-b32, clip-b16 and vit-b16",
                    name));
  m.name = name;
  m.optimizer_bytes = kUnfusedAdamW;
  return m;
}

PlannedModel engine_model(const std::string& name, const ModelConfig& c, const ShapeOptions& o) {
  PlannedModel m;
  m.name = name;
  m.implementation = Implementation::kMome;
  m.parameters = double(parameter_count(c, o.stage));
  m.trained = double(parameter_count(c, o.stage, true));
  m.optimizer_bytes = kFusedAdamW;
  const double bytes = double(size_of(o.dtype));
  const int64_t text = std::min(o.text_tokens > 0         ? o.text_tokens
                                : o.stage == Stage::kText ? 128
                                                          : 12,
                                c.text_length);
  if (text < 3)
    throw UsageError(
        fmt::format("--text-tokens {}: at least 3 is expected ([CLS], a token, [SEP])", text));
  const double image = double(c.patches() + 1);
  m.tokens = int64_t(o.stage == Stage::kImage  ? image
                     : o.stage == Stage::kText ? double(text)
                                               : image + double(text));
  if (o.stage == Stage::kPairs) {
    m.contrast_width = 2 * (c.itc_tail ? 2.0 : 1.0) * double(c.features());
    m.negative_bytes = 3.0 * double(c.image_size * c.image_size) * bytes + 4 * double(text);
  }
  const int32_t masked = expected_masks(text, 0.15);
  const Stage stage = o.stage;
  const Recompute recompute = o.recompute;
  m.passes = [=](int64_t local, int64_t all) {
    const std::vector<int32_t> lengths(static_cast<size_t>(local), int32_t(text)),
        masks(static_cast<size_t>(local), masked);
    const StepRows rows = stage == Stage::kImage
                              ? image_rows(c, local, std::llround(0.4 * double(c.patches())))
                          : stage == Stage::kText ? text_rows(c, lengths, masks)
                                                  : pair_rows(c, lengths, masks, local, all);
    std::vector<Work> passes;
    for (const PassRows& p : rows) passes.push_back(engine_work(c, stage, p, bytes, recompute));
    return passes;
  };
  if (stage == Stage::kPairs)
    m.cached = [=](int64_t local) {
      Work w = engine_work(
          c, stage, pair_rows(c, std::vector<int32_t>(size_t(local), int32_t(text)), {}, 0)[0],
          bytes);
      for (Gemm& g : w.gemms) g.input_grad = g.weight_grad = false, g.recomputed = true;
      for (AttentionWork& a : w.attention) a.backward = false, a.recomputed = true;
      w.stream_backward = w.saved = w.scratch = 0;
      w.kernels /= 3;
      return w;
    };
  return m;
}

}  // namespace mome
