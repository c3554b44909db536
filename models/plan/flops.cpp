#include "models/plan/flops.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/checkpoints/shape.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

double products(const Gemm& g) {
  return g.recomputed ? 1 : 1 + double(g.input_grad) + double(g.weight_grad);
}

double sum(std::span<const int32_t> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

bool has_upper(const ModelConfig& c, Stage stage) {
  return stage == Stage::kPairs && c.vl_from < c.layers;
}

double hidden_of(const ModelConfig& c) { return double(c.hidden()); }

// Kernels of a block, forward and backward: four linear layers' ten products, attention's three,
// two fused residual norms, the activation, gathers of a layout's seams (runtime/ops).
constexpr double kBlockKernels = 25;

}  // namespace

Stage stage_of(const std::string& name) {
  if (name == "image") return Stage::kImage;
  if (name == "text") return Stage::kText;
  if (name == "pairs") return Stage::kPairs;
  throw UsageError(fmt::format("--stage {}: expected image, text or pairs", name));
}

const char* name_of(Stage stage) {
  return stage == Stage::kImage ? "image" : stage == Stage::kText ? "text" : "pairs";
}

double gemm_flops(const Work& work) {
  double total = 0;
  for (const Gemm& g : work.gemms) total += g.flops() * products(g);
  return total;
}

double attention_flops(const Work& work) {
  double total = 0;
  for (const AttentionWork& a : work.attention) total += a.pairs * a.width * (a.backward ? 14 : 4);
  return total;
}

double model_flops(const Work& work) {
  double total = 0;
  for (const Gemm& g : work.gemms) total += g.recomputed ? 0 : g.flops() * products(g);
  for (const AttentionWork& a : work.attention)
    total += a.recomputed ? 0 : a.pairs * a.width * (a.backward ? 12 : 4);
  return total;
}

StepRows image_rows(const ModelConfig& c, int64_t images, int64_t masked) {
  const double n = double(images), tokens = double(c.patches() + 1);
  PassRows p;
  p.images = n;
  p.distinct = p.lower = n * tokens;
  p.lower_pairs = n * tokens * tokens;
  p.read = p.mim = n * double(masked);
  p.read_pairs = p.read * tokens;
  return {p};
}

StepRows text_rows(const ModelConfig&, std::span<const int32_t> lengths,
                   std::span<const int32_t> masked) {
  MOME_CHECK(lengths.size() == masked.size());
  PassRows p;
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (masked[b] == 0) continue;
    const double t = lengths[b], m = masked[b];
    p.distinct += t;
    p.lower_pairs += t * t;
    p.read += m;
    p.read_pairs += m * t;
  }
  p.lower = p.distinct;
  p.mlm = p.read;
  return {p};
}

StepRows pair_rows(const ModelConfig& c, std::span<const int32_t> lengths,
                   std::span<const int32_t> masked, int64_t matched, int64_t all) {
  MOME_CHECK(masked.size() <= lengths.size() && matched <= int64_t(lengths.size()));
  const double n = double(lengths.size()), tokens = double(c.patches() + 1);
  const bool upper = has_upper(c, Stage::kPairs), tail = c.itc_tail, mean = c.pool == "mean";
  StepRows passes(1);
  PassRows& first = passes[0];
  first.images = n;
  first.contrast = n;
  first.contrast_all = all > 0 ? double(all) : n;
  first.distinct = n * tokens + sum(lengths);
  // Every image and every text alone; from the first VL block on both once more as tails.
  const double ways = upper && tail ? 2 : 1;
  double rows = n * tokens, pairs = n * tokens * tokens, read = n * (mean ? tokens : 1),
         read_pairs = read * tokens;
  for (const double t : lengths) {
    rows += t;
    pairs += t * t;
    read += mean ? t : 1;
    read_pairs += (mean ? t : 1) * t;
  }
  first.lower = rows, first.lower_pairs = pairs;
  first.upper = ways * rows, first.upper_pairs = ways * pairs;
  first.read = ways * read, first.read_pairs = ways * read_pairs;
  // Masked words: fused with their images.
  for (size_t b = 0; b < masked.size(); ++b) {
    if (masked[b] == 0) continue;
    const double t = lengths[b], length = tokens + t, m = masked[b];
    first.distinct += t;
    first.lower += length, first.upper += length;
    first.lower_pairs += length * length, first.upper_pairs += length * length;
    first.read += m, first.mlm += m;
    first.read_pairs += m * length;
  }
  if (!upper) first.upper = first.upper_pairs = 0;
  if (matched == 0) return passes;

  // Matching: each pair, its text with another image, its image with another text.
  double match_rows = 0, match_pairs = 0, texts = 0;
  for (const double t : lengths.first(size_t(matched))) {
    texts += t;
    match_rows += 3 * (tokens + t);
    match_pairs += 3 * (tokens + t) * (tokens + t);
  }
  double limit = n * tokens + sum(lengths);
  for (size_t b = 0; b < masked.size(); ++b) limit += tokens + double(lengths[b]);
  const int64_t matches = 3 * matched,
                runs = std::max<int64_t>(
                    1, (int64_t(match_rows) + int64_t(limit) - 1) / int64_t(limit));
  const int64_t size = (matches + runs - 1) / runs;
  for (int64_t begin = 0; begin < matches; begin += size) {
    const double here = double(std::min(size, matches - begin)), share = here / double(matches);
    PassRows p;
    p.images = std::min(here, double(matched));
    p.distinct = p.images * tokens + texts * p.images / double(matched);
    p.lower = p.upper = share * match_rows;
    p.lower_pairs = p.upper_pairs = share * match_pairs;
    p.read = p.matched = here;
    p.read_pairs = share * match_rows;
    if (!upper) p.upper = p.upper_pairs = 0;
    passes.push_back(p);
  }
  return passes;
}

int32_t expected_masks(int64_t tokens, double mask_rate) {
  return int32_t(std::max<int64_t>(1, std::llround(mask_rate * double(tokens - 2))));
}

StepRows batch_rows(const ModelConfig& c, Stage stage, const Batch& batch, double mask_rate,
                    int64_t fused) {
  if (stage == Stage::kImage)
    return image_rows(
        c, batch.size,
        std::clamp<int64_t>(std::llround(mask_rate * double(c.patches())), 1, c.patches()));
  std::vector<int32_t> lengths, masked;
  for (int64_t b = 0; b < batch.size; ++b) {
    lengths.push_back(batch.text_begin[size_t(b) + 1] - batch.text_begin[size_t(b)]);
    if (stage == Stage::kText || b < fused)
      masked.push_back(expected_masks(lengths.back(), mask_rate));
  }
  return stage == Stage::kText ? text_rows(c, lengths, masked)
                               : pair_rows(c, lengths, masked, fused);
}

Work engine_work(const ModelConfig& c, Stage stage, const PassRows& rows, double bytes,
                 Recompute recompute) {
  const double d = double(c.width), f = hidden_of(c), v = double(c.vocabulary);
  const bool train_attention = stage != Stage::kText;  // stage 2 trains the language experts alone
  const int64_t first_upper = has_upper(c, stage) ? c.vl_from : c.layers;
  Work w;
  const auto linear = [&](double r, double in, double out, bool weight = true, bool input = true) {
    if (r > 0) w.gemms.push_back({r, in, out, 1, input, weight, false});
  };
  if (rows.images > 0)
    linear(rows.images * double(c.patches()), 3.0 * double(c.patch * c.patch), d, true, false);
  for (int64_t l = 0; l < c.layers; ++l) {
    const bool upper = l >= first_upper, last = l + 1 == c.layers;
    const double full = upper ? rows.upper : rows.lower, here = last ? rows.read : full;
    // The projection runs before rows spread out over the sequences that use them.
    const double projected = l == 0 ? rows.distinct : l == first_upper ? rows.lower : full;
    if (last && rows.read < full) {
      linear(projected, d, 2 * d, train_attention);
      linear(here, d, d, train_attention);
    } else {
      linear(projected, d, 3 * d, train_attention);
    }
    const double pairs = last ? rows.read_pairs : upper ? rows.upper_pairs : rows.lower_pairs;
    w.attention.push_back({pairs, d, true, false});
    linear(here, d, d, train_attention);
    linear(here, d, f);
    linear(here, f, d);
    // Two fused residual norms move 4 matrices forward and 6 backward each; bias and GELU 2 forward
    // and 5 backward, where the activation is made again (kernels/residual_norm,
    // kernels/bias_gelu).
    double forward = here * (2 * 4 * d + 2 * f) * bytes,
           backward = here * (2 * 6 * d + 5 * f) * bytes;
    // A float matrix a head, for all sequences.
    const double side = (rows.images > 0 ? double(c.patches() + 1) : 0) +
                        (stage == Stage::kImage ? 0 : double(c.text_length));
    const double bias_matrix = double(c.heads) * side * side * 4;
    if (c.positions == "relative") forward += bias_matrix, backward += 2 * bias_matrix;
    const bool spreads = projected != full;  // then q, k, v and x are read and written again
    if (spreads) {
      forward += 8 * d * full * bytes;
      backward += 8 * d * full * bytes;
    }
    if (recompute == Recompute::kExperts) w.gemms.push_back({here, d, f, 1, false, false, true});
    if (recompute == Recompute::kBlocks) {
      w.gemms.push_back({projected, d, 3 * d, 1, false, false, true});
      w.gemms.push_back({here, d, d + 2 * f, 1, false, false, true});
      w.attention.push_back({pairs, d, false, true});
      backward += forward;
    }
    w.stream_forward += forward, w.stream_backward += backward;
    w.kernels += kBlockKernels;
    // Kept of a row: q, k, v, attention's output, its projection, both sums and norms, the hidden
    // product and the expert's output, 14 D in all; without the hidden product 10 D; the block's
    // input and its norm alone 2 D (runtime/ops/experts.cpp).
    const double kept = recompute == Recompute::kBlocks    ? 2
                        : recompute == Recompute::kExperts ? 10
                                                           : 10 + f / d;
    // Floats: attention's log-sums, two norms' means and deviations, two scales of drop path.
    double saved = here * (kept * d * bytes + 4 * (double(c.heads) + 6));
    if (last && here < full) saved += 2 * d * full * bytes;  // k and v
    // q, k, v before they spread, x behind it, and with pruned queries the norm too.
    if (spreads) saved += (3 * projected + (last && here < full ? 2 : 1) * full) * d * bytes;
    if (c.positions == "relative") saved += bias_matrix;
    // Backward holds an expert's gradients and those of q, k, v at most; what is made again, of one
    // block. By then the blocks above are given back.
    const double again = recompute == Recompute::kBlocks    ? 14 * d
                         : recompute == Recompute::kExperts ? f
                                                            : 0;
    w.scratch = std::max(w.scratch - saved, here * (2 * f + 4 * d + again) * bytes);
    w.saved += saved;
  }
  w.saved += (rows.images * double(c.patches()) * 3.0 * double(c.patch * c.patch) +
              2 * rows.distinct * d) *
             bytes;
  linear(rows.mlm, d, d);
  linear(rows.mlm, d, v);
  w.stream_forward +=
      2 * rows.mlm * v * bytes;  // cross-entropy reads the logits and leaves its gradient in them
  w.saved += rows.mlm * (v + 3 * d) * bytes;
  linear(rows.mim, d, 3.0 * double(c.patch * c.patch));
  linear(rows.matched, d, d);
  linear(rows.matched, d, 2);
  for (int t = 0; rows.contrast > 0 && t < (c.itc_tail && stage == Stage::kPairs ? 2 : 1); ++t) {
    linear(rows.contrast, d, double(c.features()));
    linear(rows.contrast, d, double(c.features()));
    linear(rows.contrast, double(c.features()),
           rows.contrast_all);  // similarities, and their gradient into both sides
    w.stream_forward += 3 * 4 * rows.contrast * rows.contrast_all;
    w.saved += 4 * rows.contrast * rows.contrast_all;
  }
  return w;
}

double training_flops(const ModelConfig& c, Stage stage, const StepRows& rows) {
  double total = 0;
  for (const PassRows& p : rows) total += model_flops(engine_work(c, stage, p, 4));
  return total;
}

int64_t parameter_count(const ModelConfig& c, Stage stage, bool trained) {
  const int64_t d = c.width, f = c.hidden(), v = c.vocabulary, pixels = 3 * c.patch * c.patch,
                side = 2 * c.grid() - 1;
  const bool relative = c.positions == "relative", text = stage != Stage::kImage,
             pairs = stage == Stage::kPairs;
  const bool body = !trained || stage != Stage::kText;  // what stage 2 freezes
  const int64_t expert = 2 * d + d * f + f + f * d + d;
  int64_t n = 0;
  if (relative) n += (side * side + kTextTableRows) * c.heads * c.layers;
  if (body) {
    n += d + d * pixels + d +
         (relative ? 0 : (c.patches() + 1) * d);  // class token, patch projection, image positions
    n += c.layers *
         ((c.layer_scale > 0 ? 2 * d : 0) + 2 * d + 2 * d + 3 * d * d + d * d + d + expert);
  }
  if (text) n += c.layers * expert + v * d + (relative ? 0 : c.text_length * d) + 2 * d + 2 * d;
  if (pairs) n += std::max<int64_t>(0, c.layers - c.vl_from) * expert;
  n += 2 * d + 2 * d;  // final norm, types of tokens
  if (text) n += d * d + d + 2 * d + v * d + v;
  if (stage == Stage::kImage) n += d + pixels * d + pixels;  // mask token and the head of pixels
  if (pairs) n += d * d + d + 2 * d + 2 + (c.itc_tail ? 2 : 1) * (2 * d * c.features() + 1);
  return n;
}

}  // namespace mome
