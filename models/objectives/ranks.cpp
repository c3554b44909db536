#include "models/objectives/ranks.h"

#include <cstring>

#include "runtime/optim/gradient_sync.h"

namespace mome {
namespace {

template <class T>
void put(std::vector<char>& to, const std::vector<T>& values) {
  const uint64_t n = values.size();
  const size_t at = to.size();
  to.resize(at + sizeof n + n * sizeof(T));
  std::memcpy(to.data() + at, &n, sizeof n);
  if (n) std::memcpy(to.data() + at + sizeof n, values.data(), n * sizeof(T));
}

template <class T>
std::vector<T> take(std::span<const char>& from) {
  uint64_t n = 0;
  MOME_CHECK(from.size() >= sizeof n);
  std::memcpy(&n, from.data(), sizeof n);
  MOME_CHECK(n <= (from.size() - sizeof n) / sizeof(T));
  std::vector<T> values(n);
  if (n) std::memcpy(values.data(), from.data() + sizeof n, n * sizeof(T));
  from = from.subspan(sizeof n + n * sizeof(T));
  return values;
}

}  // namespace

std::vector<double> sum_over_ranks(Communicator* ranks, std::vector<double> values) {
  if (!ranks) return values;
  const auto all = ranks->gather_host({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
  std::fill(values.begin(), values.end(), 0.0);
  for (const auto& bytes : all) {
    MOME_CHECK(bytes.size() == values.size() * sizeof(double));
    for (size_t i = 0; i < values.size(); ++i) {
      double v;
      std::memcpy(&v, bytes.data() + i * sizeof v, sizeof v);
      values[i] += v;
    }
  }
  return values;
}

int64_t all_ranks(const StepContext& context, int64_t mine) { return int64_t(sum_over_ranks(context.ranks, {double(mine)})[0]); }

Batch gather_texts(const Batch& batch, Communicator& ranks) {
  std::vector<char> mine;
  put(mine, batch.tokens);
  put(mine, batch.text_begin);
  put(mine, batch.image_ids);
  put(mine, batch.caption_ids);
  Batch all;
  all.text_begin.push_back(0);
  for (const auto& bytes : ranks.gather_host(mine)) {
    std::span<const char> from = bytes;
    const auto tokens = take<int32_t>(from), begin = take<int32_t>(from);
    const auto image_ids = take<int64_t>(from), caption_ids = take<int64_t>(from);
    if (int64_t(begin.size()) != batch.size + 1)
      fail("a rank has {} pairs in its batch, another one {}", begin.size() - 1, batch.size);
    for (size_t b = 1; b < begin.size(); ++b) all.text_begin.push_back(int32_t(all.tokens.size()) + begin[b]);
    all.tokens.insert(all.tokens.end(), tokens.begin(), tokens.end());
    all.image_ids.insert(all.image_ids.end(), image_ids.begin(), image_ids.end());
    all.caption_ids.insert(all.caption_ids.end(), caption_ids.begin(), caption_ids.end());
    all.size += batch.size;
  }
  return all;
}

void backward(Tape& tape, const StepContext& context, bool last) {
  if (!context.train) return;
  if (last && context.sync) context.sync->reduce_during(tape);
  tape.backward();
}

}  // namespace mome
