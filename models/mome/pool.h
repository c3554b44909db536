// What contrast reads of a sequence: its first token's state, or the mean of its modality's states.
#pragma once
#include "models/mome/model.h"

namespace mome {

struct Pool {
  bool mean = false;
  GatherPlan first;   // without mean
  Segments segments;  // with it
};
/// Of sequences [first, first + n) of a layout with `state_rows` final rows: the image's or the
/// text's, of the tail or not. Outlives the tape.
Pool pool_plan(const MomeModel& model, const MomeLayout& layout, int64_t state_rows, int first,
               int64_t n, bool image, bool tail);
/// [n, D]
Var* pooled(Tape& tape, Var* states, const Pool& pool);

}  // namespace mome
