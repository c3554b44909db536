// Building blocks of published PyTorch implementations.
#pragma once
#include "models/plan/flops.h"
#include "models/plan/machines.h"

namespace mome {

/// Blocks of a transformer over padded sequences, all alike.
struct Tower {
  double sequences = 0, tokens = 0, width = 768, heads = 12, layers = 12;
  double keys = 0;       // tokens of another sequence that a second attention reads in every block
                         // (ALBEF's fusion); 0: none
  bool backward = true;  // false: a momentum copy
  bool train_attention = true;
};
void add_tower(Work& work, const Tower& tower, DType dtype);
/// A linear layer that is no part of a block.
void add_linear(Work& work, double rows, double in, double out, bool input_grad = true,
                bool backward = true);
/// Masked words: every one of `rows` positions gets logits (transform D -> D, decoder D -> V, tied
/// or not).
void add_word_head(Work& work, double rows, double width, double vocabulary, DType dtype,
                   bool backward = true);

}  // namespace mome
