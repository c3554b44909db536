#include "models/mome/pool.h"

namespace mome {

Pool pool_plan(const MomeModel& model, const MomeLayout& layout, int64_t state_rows, int first,
               int64_t n, bool image, bool tail) {
  Pool pool;
  pool.mean = model.config().pool == "mean";
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < n; ++i) {
    const int s = first + int(i);
    rows.push_back(image ? layout.image_row(s, 0, tail) : layout.text_row(s, 0, tail));
    if (pool.mean) {
      pool.segments.begin.push_back(rows.back());
      pool.segments.count.push_back(int32_t(image ? layout.image_tokens() : layout.text_length(s)));
    }
  }
  if (!pool.mean) pool.first = make_gather(state_rows, std::move(rows));
  return pool;
}

Var* pooled(Tape& tape, Var* states, const Pool& pool) {
  return pool.mean ? segment_mean(tape, states, pool.segments)
                   : gather_rows(tape, states, pool.first);
}

}  // namespace mome
