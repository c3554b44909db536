#include <algorithm>
#include <numeric>

#include "kernels/multinomial/multinomial.h"
#include "models/mome/pool.h"
#include "models/objectives/objectives.h"
#include "runtime/text/masking.h"

namespace mome {
namespace {

std::span<const int32_t> text_of(const Batch& batch, int64_t b) {
  return std::span(batch.tokens).subspan(size_t(batch.text_begin[b]), size_t(batch.text_begin[b + 1] - batch.text_begin[b]));
}

// What the first pass leaves to be read.
struct FirstLosses {
  std::vector<Readout::Slot<ContrastiveResult>> contrast;  // without, with the fusion layers
  double contrast_weight = 0;                              // of each
  LossOut words;
};

// Whether other captions of a pair's image, and equal captions, count as wrong ones.
bool duplicates_are_negatives(const PairStageConfig& stage) {
  if (stage.duplicates != "masked" && stage.duplicates != "as-published")
    fail("recipe: stages.pairs.duplicates = \"{}\" is unknown; expected \"masked\" or \"as-published\"", stage.duplicates);
  return stage.duplicates == "as-published";
}

// First pass: contrast over the whole batch (if it has a weight, or negatives are drawn from it), and masked words. Draws
// the negatives if they are wanted and not given.
void contrast_and_words(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const StepContext& context,
                        FirstLosses& losses, Readout& readout, Negatives& negatives) {
  const Batch& batch = *inputs.batch;
  static const std::vector<int64_t> kAllDiffer;
  const bool negatives_too = duplicates_are_negatives(stage);
  const auto &image_ids = negatives_too ? kAllDiffer : batch.image_ids, &caption_ids = negatives_too ? kAllDiffer : batch.caption_ids;
  const bool draw = inputs.matched > 0 && negatives.image.empty(), contrast = stage.itc_weight > 0 || draw;
  const int64_t n = batch.size;
  const bool mean = model.config().pool == "mean", tail = model.config().itc_tail && model.parts().fused;
  ForwardInputs in;
  in.images = n;
  in.patches = inputs.patches;
  if (contrast) in.tokens = batch.tokens;
  for (int64_t b = 0; b < n && contrast; ++b) in.text_lengths.push_back(int32_t(text_of(batch, b).size()));
  std::vector<SequenceSpec> sequences;
  for (int64_t b = 0; b < n && contrast; ++b) {
    SequenceSpec s;
    s.image = int32_t(b);
    s.tail = tail;
    s.read_all_image = mean;
    if (!mean) s.read_image = {0};
    sequences.push_back(s);
  }
  for (int64_t b = 0; b < n && contrast; ++b) {
    SequenceSpec s;
    s.text = int32_t(b);
    s.tail = tail;
    s.read_all_text = mean;
    if (!mean) s.read_text = {0};
    sequences.push_back(s);
  }
  const size_t first_masked = sequences.size();
  std::vector<int32_t> labels;
  for (size_t b = 0; b < inputs.masked.size(); ++b) {
    const MaskedText& masked = inputs.masked[b];
    if (masked.positions.empty()) continue;
    SequenceSpec s;
    s.image = int32_t(b);
    s.text = int32_t(in.text_lengths.size());
    s.read_text.assign(masked.positions.begin(), masked.positions.end());
    sequences.push_back(s);
    in.tokens.insert(in.tokens.end(), masked.tokens.begin(), masked.tokens.end());
    in.text_lengths.push_back(int32_t(masked.tokens.size()));
    labels.insert(labels.end(), masked.labels.begin(), masked.labels.end());
  }
  if (sequences.empty()) return;
  const auto layout = model.layout(in, sequences);

  Tape tape(context.arena, context.train);
  ForwardOptions options;
  if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 0, stage.recompute};
  const ForwardOutput out = model.forward(tape, in, *layout, options);
  const int64_t rows = out.states->rows();

  // Contrast, and with it the hard negatives of the second pass.
  std::vector<Pool> pools(4);  // outlive the tape's closures
  for (int t = 0; contrast && t < (tail ? 2 : 1); ++t) {
    pools[2 * t] = pool_plan(model, *layout, rows, 0, n, true, t == 1);
    pools[2 * t + 1] = pool_plan(model, *layout, rows, int(n), n, false, t == 1);
    Var* image = model.itc_features(tape, pooled(tape, out.states, pools[2 * t]), true, t == 1);
    Var* text = model.itc_features(tape, pooled(tape, out.states, pools[2 * t + 1]), false, t == 1);
    // Published, a rank's gradient reaches its own features only, and ranks are averaged (VLMo's gather has no backward).
    image = scale_gradient(tape, image, 1 / double(stage.itc_world));
    text = scale_gradient(tape, text, 1 / double(stage.itc_world));
    Var* s = similarity(tape, image, text);
    Var* scale = model.logit_scale(tape, t == 1);
    if (t == 0 && draw) {
      // The one time that the host waits inside a step: which sequences the second pass packs depends on what is drawn.
      Tensor drawn = tape.scratch(2, n, DType::kI32);
      dispatch(tape.device(), s->value.dtype, [&]<class T>(auto& q) {
        using R = Real<T>;
        const R *v = s->value.as<R>(), *sharp = scale->value.as<R>();
        const int64_t* image_id = image_ids.empty() ? nullptr : tape.on_device(image_ids);
        const int64_t* caption_id = caption_ids.empty() ? nullptr : tape.on_device(caption_ids);
        int32_t* to = drawn.as<int32_t>();
        draw_negatives<R>(q, n, v, 1, n, sharp, image_id, caption_id, context.seed, context.step, 0, to);
        draw_negatives<R>(q, n, v, n, 1, stage.itm_texts == "random" ? nullptr : sharp, image_id, caption_id, context.seed, context.step,
                          1, to + n);
      });
      negatives.image.resize(size_t(n));
      negatives.text.resize(size_t(n));
      tape.device().download(negatives.image.data(), drawn.slice(0, 1).data, size_t(n) * sizeof(int32_t));
      tape.device().download(negatives.text.data(), drawn.slice(1, 1).data, size_t(n) * sizeof(int32_t));
      tape.free(drawn);
    }
    losses.contrast_weight = stage.itc_weight / (tail ? 2 : 1);
    losses.contrast.push_back(contrastive_loss(tape, s, scale, image_ids, caption_ids, losses.contrast_weight, context.loss_scale, readout));
  }

  GatherPlan masked_rows;
  if (!inputs.masked.empty()) {
    std::vector<int32_t> index;
    for (size_t s = first_masked; s < sequences.size(); ++s)
      for (int32_t t : sequences[s].read_text) index.push_back(layout->text_row(int(s), t));
    masked_rows = make_gather(rows, std::move(index));
    losses.words = cross_entropy_loss(tape, model.mlm_logits(tape, out.states, masked_rows), labels, stage.mlm_weight,
                                      context.loss_scale, readout);
  }
  if (context.train) tape.backward();
}

// Second pass: the pair, its hard image and its hard text (ALBEF §3.2), packed. It is cut into runs of at most as many
// rows as the first pass had, so that it never needs more memory: the loss is a mean over sequences, so gradients add up exactly.
struct Match {
  int32_t image = 0, text = 0, label = 0;
};

// The loss of a run and its share of all matches.
struct MatchLoss {
  LossOut loss;
  double share = 0;
};

// One run: forward and backward of `matches`, of `total` in all.
MatchLoss match_run(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, std::span<const Match> matches,
                    int64_t total, uint64_t pass, const StepContext& context, Readout& readout) {
  const Batch& batch = *inputs.batch;
  const Tensor patches = inputs.patches;
  const int64_t p = model.config().patches();
  ForwardInputs in;
  std::vector<int32_t> image_slot(size_t(batch.size), -1), text_slot(size_t(batch.size), -1), used, labels;
  std::vector<SequenceSpec> sequences;
  for (const Match& m : matches) {
    if (image_slot[size_t(m.image)] < 0) {
      image_slot[size_t(m.image)] = int32_t(used.size());
      used.push_back(m.image);
    }
    if (text_slot[size_t(m.text)] < 0) {
      text_slot[size_t(m.text)] = int32_t(in.text_lengths.size());
      const auto text = text_of(batch, m.text);
      in.tokens.insert(in.tokens.end(), text.begin(), text.end());
      in.text_lengths.push_back(int32_t(text.size()));
    }
    SequenceSpec s;
    s.image = image_slot[size_t(m.image)];
    s.text = text_slot[size_t(m.text)];
    s.read_text = {0};
    sequences.push_back(s);
    labels.push_back(m.label);
  }
  in.images = int64_t(used.size());
  in.patches = context.arena.tensor(in.images * p, patches.cols, patches.dtype);
  for (size_t i = 0; i < used.size(); ++i) {
    const Tensor from = patches.slice(used[i] * p, p);
    context.arena.device().copy(in.patches.slice(int64_t(i) * p, p).data, from.data, from.bytes());
  }
  const auto layout = model.layout(in, sequences);
  MatchLoss result;
  {
    Tape tape(context.arena, context.train);
    ForwardOptions options;
    if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, pass, stage.recompute};
    const ForwardOutput out = model.forward(tape, in, *layout, options);
    std::vector<int32_t> index;
    for (size_t s = 0; s < sequences.size(); ++s) index.push_back(layout->text_row(int(s), 0));
    const GatherPlan cls = make_gather(out.states->rows(), std::move(index));
    result.share = double(matches.size()) / double(total);
    result.loss = cross_entropy_loss(tape, model.itm_logits(tape, out.states, cls), labels, stage.itm_weight * result.share,
                                     context.loss_scale, readout);
    if (context.train) tape.backward();
  }
  context.arena.release(in.patches.data);
  return result;
}

std::vector<MatchLoss> matching(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const Negatives& negatives,
                                const StepContext& context, Readout& readout) {
  std::vector<Match> matches;
  for (int32_t b = 0; b < inputs.matched; ++b) matches.push_back({b, b, 1});
  for (int32_t b = 0; b < inputs.matched; ++b)
    if (negatives.image[size_t(b)] >= 0) matches.push_back({negatives.image[size_t(b)], b, 0});
  for (int32_t b = 0; b < inputs.matched; ++b)
    if (negatives.text[size_t(b)] >= 0) matches.push_back({b, negatives.text[size_t(b)], 0});

  const int64_t tokens = model.config().patches() + 1, n = int64_t(matches.size());
  const auto rows_of = [&](int32_t text) { return tokens + int64_t(text_of(*inputs.batch, text).size()); };
  int64_t all = 0, limit = 0;  // limit: rows of the first pass
  for (const Match& m : matches) all += rows_of(m.text);
  for (int64_t b = 0; b < inputs.batch->size; ++b) limit += rows_of(int32_t(b));
  for (size_t b = 0; b < inputs.masked.size(); ++b) limit += rows_of(int32_t(b));
  const int64_t runs = std::max<int64_t>(1, (all + limit - 1) / limit), size = (n + runs - 1) / runs;
  std::vector<MatchLoss> losses;
  for (int64_t begin = 0, pass = 1; begin < n; begin += size, ++pass)
    losses.push_back(match_run(model, stage, inputs, std::span(matches).subspan(size_t(begin), size_t(std::min(size, n - begin))), n,
                               uint64_t(pass), context, readout));
  return losses;
}

}  // namespace

void check_objective(const PairStageConfig& stage) {
  mask_rule(stage.masking);
  duplicates_are_negatives(stage);
  if (stage.itc_world < 1) fail("recipe: stages.pairs.itc_world: {}: at least 1 is expected", stage.itc_world);
}

Metrics pair_losses(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const StepContext& context) {
  Readout readout(context.arena);
  Negatives negatives = inputs.negatives;
  FirstLosses first;
  contrast_and_words(model, stage, inputs, context, first, readout, negatives);
  std::vector<MatchLoss> matched;
  if (inputs.matched > 0) matched = matching(model, stage, inputs, negatives, context, readout);
  readout.read();

  Metrics metrics;
  metrics.add("loss", 0);
  double total = 0;
  for (size_t t = 0; t < first.contrast.size(); ++t) {
    const ContrastiveResult& r = *first.contrast[t];
    total += first.contrast_weight * r.loss;
    metrics.add(t ? "itc_tail" : "itc", r.loss);
    if (t == 0) metrics.add("itc_acc", 0.5 * double(r.image_correct + r.text_correct) / double(inputs.batch->size));
  }
  if (!inputs.masked.empty()) {
    const LossOut& r = first.words;
    total += stage.mlm_weight * r.loss();
    metrics.add("mlm", r.loss());
    metrics.add("mlm_acc", r.count ? double(r.correct()) / double(r.count) : 0);
  }
  if (inputs.matched > 0) {
    double loss = 0;
    int64_t correct = 0, count = 0;
    for (const MatchLoss& m : matched) {
      loss += m.loss.loss() * m.share;
      correct += m.loss.correct();
      count += m.loss.count;
    }
    total += stage.itm_weight * loss;
    metrics.add("itm", loss);
    metrics.add("itm_acc", count ? double(correct) / double(count) : 0);
  }
  metrics.values[0].second = total;
  return metrics;
}

Metrics pair_step(MomeModel& model, const PairStageConfig& stage, const Batch& batch, const WordPiece& words, bool fuse,
                  const StepContext& context) {
  const int64_t fused = !fuse ? 0 : stage.fusion_pairs > 0 ? std::min<int64_t>(stage.fusion_pairs, batch.size) : batch.size;
  PairInputs inputs;
  inputs.batch = &batch;
  inputs.patches = batch_patches(model, batch, context.arena);
  inputs.matched = stage.itm_weight > 0 ? fused : 0;
  for (int64_t b = 0; b < fused && stage.mlm_weight > 0; ++b)
    inputs.masked.push_back(mask_words(text_of(batch, b), words, stage.mask_rate, context.seed, context.step, uint64_t(b),
                                       mask_rule(stage.masking), int(model.config().text_length)));
  const Metrics metrics = pair_losses(model, stage, inputs, context);
  context.arena.release(inputs.patches.data);
  return metrics;
}

}  // namespace mome
