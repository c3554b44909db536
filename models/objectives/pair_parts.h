// The two passes of the pair objective (pairs.cpp): contrast and masked words, then matching.
#pragma once
#include <span>
#include <vector>

#include "models/objectives/ranks.h"

namespace mome {

inline std::span<const int32_t> text_of(const Batch& batch, int64_t b) {
  return std::span(batch.tokens).subspan(size_t(batch.text_begin[size_t(b)]), size_t(batch.text_begin[size_t(b) + 1] - batch.text_begin[size_t(b)]));
}

/// The batch of the step as the objective sees it: this rank's pairs, which are part of all ranks' pairs.
struct Whole {
  const Batch& mine;
  const Batch& all;   // texts and ids; alone, mine
  int64_t first = 0;  // number of mine's first in all
};

/// What the first pass leaves to be read.
struct FirstLosses {
  std::vector<Readout::Slot<ContrastiveResult>> contrast;  // without, with the fusion layers; of all ranks' pairs
  double contrast_weight = 0;                              // of each
  std::vector<LossOut> words;                              // of each micro-batch
};

/// Contrast over the whole batch (if it has a weight, or negatives are drawn from it), and masked words. Draws the negatives,
/// of all pairs, if they are wanted and not given.
/// With stage.accumulate micro-batches the contrast still sees all pairs (GradCache, Gao et al. 2021): features of every
/// micro-batch are computed without a tape, the loss and its gradient at them once, and then each micro-batch again, its
/// features' gradients given. The draws are the same both times.
void first_pass(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const Whole& whole,
                const StepContext& context, FirstLosses& losses, Readout& readout, Negatives& negatives);

/// The loss of one run of matches and its share of all.
struct MatchLoss {
  LossOut loss;
  double share = 0;
};

/// Matching: the pair, its hard image and its hard text (ALBEF §3.2), packed. It is cut into runs of at most as many rows as a
/// micro-batch of the first pass has, so that it never needs more memory: the loss is a mean over sequences, so gradients add
/// up exactly.
std::vector<MatchLoss> matching(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const Whole& whole,
                                const Negatives& negatives, const StepContext& context, Readout& readout);

/// Whether other captions of a pair's image, and equal captions, count as wrong ones; Error for an unknown word.
bool duplicates_are_negatives(const PairStageConfig& stage);

}  // namespace mome
