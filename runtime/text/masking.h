// Masked language modelling's corruption of a text, by whole words (Devlin et al., "BERT", 2019,
// §3.1 and its later whole-word variant). Two budgets: ours, and VLMo's as its code has it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/text/wordpiece.h"

namespace mome {

enum class MaskRule {
  // Budget = round(rate * tokens that are not special), and at least one word where there is one.
  // Candidates are the words; special tokens ([UNK] included) are never chosen. A random
  // replacement
  // is any token but the five special ones: those never stand inside a text at test time, and a
  // random [MASK] would only be the 80 % case again, a random [PAD] or [SEP] a broken layout.
  kWords,
  // As published (VLMo pads first and takes the corruption from `transformers`' whole-word
  // collator):
  // budget = max(1, round(rate * padded length)); candidates include each padding position and each
  // [UNK]; choices that fall on these are dropped, so a short text is often left without any mask.
  // A random replacement is any token of the vocabulary.
  kPaddedAsPublished,
};

struct MaskedText {
  std::vector<int32_t> tokens;     // [N], the corrupted text
  std::vector<int32_t> positions;  // [M], ascending: where the loss is taken (kept tokens included)
  std::vector<int32_t> labels;     // [M], the original token of each position
};

/// Chooses words in random order until the budget is full; a word that would overflow it is skipped
/// (if under kWords every word would, the first one drawn is taken whole). Each chosen token
/// becomes [MASK] with probability 0.8, a random token with 0.1, and stays with 0.1.
///   tokens         [N] ids with [CLS] and [SEP], without padding; any N, 0 included
///   rate           in [0, 1]; 0 masks nothing under either rule
///   padded_length  length after padding, >= N; read only under kPaddedAsPublished
/// The result depends on the arguments alone (Philox, Purpose::kMaskText). Budgets round half to
/// even, as Python does. Throws Error for a rate outside [0, 1] or an id outside the vocabulary.
MaskedText mask_words(std::span<const int32_t> tokens, const WordPiece& vocabulary, double rate,
                      uint64_t seed, uint64_t step, uint64_t index,
                      MaskRule rule = MaskRule::kWords, int padded_length = 0);

}  // namespace mome
