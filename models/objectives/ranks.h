// A step's batch, split over ranks: what each knows of the whole, and how losses stay means over the whole.
#pragma once
#include <span>
#include <vector>

#include "models/objectives/objectives.h"

namespace mome {

/// Number in the whole batch of this rank's first sample; every rank has `mine` samples.
inline int64_t first_sample(const StepContext& context, int64_t mine) { return context.ranks ? context.ranks->rank() * mine : 0; }

/// Sums over ranks, in their order; alone, the values themselves.
std::vector<double> sum_over_ranks(Communicator* ranks, std::vector<double> values);

/// How many things (masked words, samples) all ranks have, of which this one has `mine`.
int64_t all_ranks(const StepContext& context, int64_t mine);

/// The texts and ids of all ranks' batches, in the order of ranks; no pixels.
Batch gather_texts(const Batch& batch, Communicator& ranks);

/// Walks the tape back. `last` of this step's: gradients go to the other ranks meanwhile.
void backward(Tape& tape, const StepContext& context, bool last);

}  // namespace mome
