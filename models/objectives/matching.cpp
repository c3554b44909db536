#include <algorithm>

#include "models/objectives/pair_parts.h"

namespace mome {
namespace {

// Images that matching sees: this rank's, and those of other ranks that its texts drew.
struct ImagePool {
  const Whole& whole;
  int64_t patches;                // P of an image
  Tensor own;                     // [n P, 3p^2]
  Tensor foreign{};               // [foreign images * P, 3p^2]
  std::vector<int32_t> numbers;   // of the foreign images in the whole batch, ascending

  Tensor operator[](int32_t image) const {
    const int64_t i = image - whole.first;
    if (i >= 0 && i < whole.mine.size) return own.slice(i * patches, patches);
    const auto at = std::lower_bound(numbers.begin(), numbers.end(), image) - numbers.begin();
    return foreign.slice(at * patches, patches);
  }
};

// Images of other ranks that the pairs of `rank` drew, ascending.
std::vector<int32_t> foreign_images(const Negatives& negatives, int64_t matched, int64_t size, int64_t rank) {
  std::vector<int32_t> out;
  for (int64_t b = rank * size; b < rank * size + matched; ++b) {
    const int32_t j = negatives.image[size_t(b)];
    if (j >= 0 && j / size != rank) out.push_back(j);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Every rank knows all draws, so each knows what it is asked for: only images that were drawn travel. (Texts are known to all.)
ImagePool exchange_images(const PairInputs& inputs, const Whole& whole, int64_t patches, const Negatives& negatives,
                          const StepContext& context) {
  ImagePool pool{whole, patches, inputs.patches, {}, {}};
  if (!context.ranks) return pool;
  const int64_t n = whole.mine.size, rank = context.ranks->rank();
  pool.numbers = foreign_images(negatives, inputs.matched, n, rank);
  pool.foreign = context.arena.tensor(int64_t(pool.numbers.size()) * patches, inputs.patches.cols, inputs.patches.dtype);
  std::vector<Communicator::Message> sends, receives;
  for (size_t k = 0; k < pool.numbers.size(); ++k) {
    const Tensor to = pool.foreign.slice(int64_t(k) * patches, patches);
    receives.push_back({int(pool.numbers[k] / n), to.data, to.bytes()});
  }
  for (int64_t r = 0; r < context.ranks->size(); ++r)
    for (int32_t j : r == rank ? std::vector<int32_t>{} : foreign_images(negatives, inputs.matched, n, r))
      if (j / n == rank) {
        const Tensor from = pool[j];
        sends.push_back({int(r), from.data, from.bytes()});
      }
  context.ranks->exchange(sends, receives);
  return pool;
}

// One sequence.
struct Match {
  int32_t image = 0, text = 0, label = 0;  // numbers in the whole batch
  int32_t key = 0;                         // number among all ranks' matches
};

// One run: forward and backward of `matches`, of `total` in all. `last` of this step.
MatchLoss match_run(MomeModel& model, const PairStageConfig& stage, const ImagePool& images, std::span<const Match> matches,
                    int64_t total, bool last, const StepContext& context, Readout& readout) {
  const Batch& batch = images.whole.all;
  const int64_t p = images.patches;
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
      in.text_keys.push_back(m.text);
    }
    SequenceSpec s;
    s.image = image_slot[size_t(m.image)];
    s.text = text_slot[size_t(m.text)];
    s.key = m.key;
    s.read_text = {0};
    sequences.push_back(s);
    labels.push_back(m.label);
  }
  in.images = int64_t(used.size());
  in.patches = context.arena.tensor(in.images * p, images.own.cols, images.own.dtype);
  for (size_t i = 0; i < used.size(); ++i) {
    const Tensor from = images[used[i]];
    context.arena.device().copy(in.patches.slice(int64_t(i) * p, p).data, from.data, from.bytes());
  }
  const auto layout = model.layout(in, sequences);
  MatchLoss result;
  {
    Tape tape(context.arena, context.train);
    ForwardOptions options;
    if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 1, stage.recompute};
    const ForwardOutput out = model.forward(tape, in, *layout, options);
    std::vector<int32_t> index;
    for (size_t s = 0; s < sequences.size(); ++s) index.push_back(layout->text_row(int(s), 0));
    const GatherPlan cls = make_gather(out.states->rows(), std::move(index));
    result.share = double(matches.size()) / double(total);
    result.loss = cross_entropy_loss(tape, model.itm_logits(tape, out.states, cls), labels, stage.itm_weight * result.share,
                                     context.loss_scale, readout);
    backward(tape, context, last);
  }
  context.arena.release(in.patches.data);
  return result;
}

}  // namespace

std::vector<MatchLoss> matching(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const Whole& whole,
                                const Negatives& negatives, const StepContext& context, Readout& readout) {
  const int32_t pairs = int32_t(whole.all.size), first = int32_t(whole.first), end = first + int32_t(inputs.matched);
  std::vector<Match> matches;
  for (int32_t b = first; b < end; ++b) matches.push_back({b, b, 1, b});
  for (int32_t b = first; b < end; ++b)
    if (negatives.image[size_t(b)] >= 0) matches.push_back({negatives.image[size_t(b)], b, 0, pairs + b});
  for (int32_t b = first; b < end; ++b)
    if (negatives.text[size_t(b)] >= 0) matches.push_back({b, negatives.text[size_t(b)], 0, 2 * pairs + b});
  int64_t total = 0;  // of all ranks
  for (int64_t b = 0; b < pairs; ++b)
    if (b % whole.mine.size < inputs.matched) total += 1 + (negatives.image[size_t(b)] >= 0) + (negatives.text[size_t(b)] >= 0);

  const ImagePool images = exchange_images(inputs, whole, model.config().patches(), negatives, context);
  const int64_t tokens = model.config().patches() + 1, n = int64_t(matches.size());
  const auto rows_of = [&](int32_t text) { return tokens + int64_t(text_of(whole.all, text).size()); };
  int64_t all = 0, limit = 0;  // limit: rows of a micro-batch of the first pass, about
  for (const Match& m : matches) all += rows_of(m.text);
  for (int64_t b = 0; b < whole.mine.size; ++b) limit += rows_of(int32_t(whole.first + b));
  for (size_t b = 0; b < inputs.masked.size(); ++b) limit += rows_of(int32_t(whole.first + int64_t(b)));
  limit = std::max<int64_t>(1, limit / stage.accumulate);
  const int64_t runs = std::max<int64_t>(1, (all + limit - 1) / limit), size = (n + runs - 1) / runs;
  std::vector<MatchLoss> losses;
  for (int64_t begin = 0; begin < n; begin += size)
    losses.push_back(match_run(model, stage, images, std::span(matches).subspan(size_t(begin), size_t(std::min(size, n - begin))), total,
                               begin + size >= n, context, readout));
  if (images.foreign) context.arena.release(images.foreign.data);
  return losses;
}

}  // namespace mome
