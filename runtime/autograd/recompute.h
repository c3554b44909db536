// Activation recomputation ("gradient checkpointing"; Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): a part
// of a network keeps nothing but its inputs, and is computed again when backward comes to it. One more forward pass of the part
// for the memory of its activations.
#pragma once
#include <functional>
#include <vector>

#include "runtime/autograd/tape.h"

namespace mome {

/// f(tape, inputs) -> outputs: operations on the tape that it is given, with the same values each time it is called; what else it
/// captures lives as long as `tape`. Its outputs are made by it, none is an input.
using Recomputable = std::function<std::vector<Var*>(Tape&, const std::vector<Var*>&)>;

std::vector<Var*> recomputed(Tape& tape, const std::vector<Var*>& inputs, Recomputable f);

}  // namespace mome
