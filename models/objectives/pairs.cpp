#include <algorithm>

#include "models/objectives/pair_parts.h"
#include "runtime/text/masking.h"

namespace mome {
namespace {

// What metrics are made of; each is a sum over ranks.
struct Sums {
  double word_loss = 0, words_correct = 0, words = 0;
  double match_loss = 0, matches_correct = 0, matches = 0;  // match_loss: of runs, each with its share
};

Sums sum_up(const FirstLosses& first, const std::vector<MatchLoss>& matched) {
  Sums s;
  for (const LossOut& w : first.words) {
    s.word_loss += w.result->loss;
    s.words_correct += double(w.correct());
    s.words += double(w.count);
  }
  for (const MatchLoss& m : matched) {
    s.match_loss += m.loss.loss() * m.share;
    s.matches_correct += double(m.loss.correct());
    s.matches += double(m.loss.count);
  }
  return s;
}

Sums over_ranks(const Sums& s, Communicator* ranks) {
  const auto v = sum_over_ranks(ranks, {s.word_loss, s.words_correct, s.words, s.match_loss, s.matches_correct, s.matches});
  return {v[0], v[1], v[2], v[3], v[4], v[5]};
}

}  // namespace

void check_objective(const PairStageConfig& stage) {
  mask_rule(stage.masking);
  duplicates_are_negatives(stage);
  if (stage.itc_world < 1) fail("recipe: stages.pairs.itc_world: {}: at least 1 is expected", stage.itc_world);
}

Metrics pair_losses(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const StepContext& context) {
  const Batch& mine = *inputs.batch;
  MOME_CHECK(!context.ranks || inputs.negatives.image.empty());
  const Batch gathered = context.ranks ? gather_texts(mine, *context.ranks) : Batch{};
  const Whole whole{mine, context.ranks ? gathered : mine, first_sample(context, mine.size)};
  Readout readout(context.arena);
  Negatives negatives = inputs.negatives;
  FirstLosses first;
  first_pass(model, stage, inputs, whole, context, first, readout, negatives);
  std::vector<MatchLoss> matched;
  if (inputs.matched > 0) matched = matching(model, stage, inputs, whole, negatives, context, readout);
  readout.read();
  const Sums sums = over_ranks(sum_up(first, matched), context.ranks);

  Metrics metrics;
  metrics.add("loss", 0);
  double total = 0;
  for (size_t t = 0; t < first.contrast.size(); ++t) {
    const ContrastiveResult& r = *first.contrast[t];
    total += first.contrast_weight * r.loss;
    metrics.add(t ? "itc_tail" : "itc", r.loss);
    if (t == 0) metrics.add("itc_acc", 0.5 * double(r.image_correct + r.text_correct) / double(whole.all.size));
  }
  if (!inputs.masked.empty()) {
    const double loss = sums.words > 0 ? sums.word_loss / sums.words : 0;
    total += stage.mlm_weight * loss;
    metrics.add("mlm", loss);
    metrics.add("mlm_acc", sums.words > 0 ? sums.words_correct / sums.words : 0);
  }
  if (inputs.matched > 0) {
    total += stage.itm_weight * sums.match_loss;
    metrics.add("itm", sums.match_loss);
    metrics.add("itm_acc", sums.matches > 0 ? sums.matches_correct / sums.matches : 0);
  }
  metrics.values[0].second = total;
  return metrics;
}

int64_t fused_pairs(const PairStageConfig& stage, const Batch& batch, bool fuse, int64_t ranks) {
  if (stage.fusion_pairs % ranks != 0) fail("recipe: stages.pairs.fusion_pairs: {} cannot be split over {} ranks", stage.fusion_pairs, ranks);
  if (!fuse) return 0;
  return stage.fusion_pairs > 0 ? std::min<int64_t>(stage.fusion_pairs / ranks, batch.size) : batch.size;
}

Metrics pair_step(MomeModel& model, const PairStageConfig& stage, const Batch& batch, const WordPiece& words, bool fuse,
                  const StepContext& context) {
  const int64_t fused = fused_pairs(stage, batch, fuse, context.ranks ? context.ranks->size() : 1);
  const int64_t first = first_sample(context, batch.size);
  PairInputs inputs;
  inputs.batch = &batch;
  inputs.patches = batch_patches(model, batch, context.arena);
  inputs.matched = stage.itm_weight > 0 ? fused : 0;
  for (int64_t b = 0; b < fused && stage.mlm_weight > 0; ++b)
    inputs.masked.push_back(mask_words(text_of(batch, b), words, stage.mask_rate, context.seed, context.step, uint64_t(first + b),
                                       mask_rule(stage.masking), int(model.config().text_length)));
  const Metrics metrics = pair_losses(model, stage, inputs, context);
  context.arena.release(inputs.patches.data);
  return metrics;
}

}  // namespace mome
