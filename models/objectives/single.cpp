// Stages 1 and 2: one modality, one forward pass of every micro-batch.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/philox.h"
#include "kernels/image/normalize.h"
#include "models/objectives/ranks.h"
#include "runtime/text/masking.h"

namespace mome {
namespace {

// The loss, a mean over the terms of all micro-batches and ranks, and the share of rows that were right.
Metrics means(const std::vector<LossOut>& losses, Communicator* ranks, const char* accuracy) {
  std::vector<double> sums(4, 0);
  for (const LossOut& r : losses) {
    sums[0] += r.result->loss;
    sums[1] += double(r.terms);
    sums[2] += double(r.correct());
    sums[3] += double(r.count);
  }
  sums = sum_over_ranks(ranks, sums);
  Metrics metrics;
  metrics.add("loss", sums[1] > 0 ? sums[0] / sums[1] : 0);
  if (*accuracy) metrics.add(accuracy, sums[3] > 0 ? sums[2] / sums[3] : 0);
  return metrics;
}

}  // namespace

double Metrics::get(const std::string& name) const {
  for (const auto& [key, value] : values)
    if (key == name) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

Tensor batch_patches(const MomeModel& model, const Batch& batch, Arena& arena) {
  const ModelConfig& c = model.config();
  MOME_CHECK(batch.image_size == c.image_size);
  const uint8_t* images = batch.images.data();
  const int64_t count = int64_t(batch.images.size()) / (3 * c.image_size * c.image_size);
  Device& device = arena.device();
  Tensor pixels;
  if (!device.is_host()) {
    pixels = arena.tensor(1, int64_t(batch.images.size()), DType::kU8);
    device.upload(pixels.data, images, pixels.bytes());
    images = pixels.as<uint8_t>();
  }
  Tensor patches = arena.tensor(count * c.patches(), 3 * c.patch * c.patch, model.parameters().compute_dtype());
  dispatch(device, patches.dtype, [&]<class T>(auto& q) {
    patches_from_images<T>(q, images, count, int(c.image_size), int(c.patch), Normalization{}, patches.as<T>());
  });
  if (pixels) arena.release(pixels.data);
  return patches;
}

Metrics image_step(MomeModel& model, const ImageStageConfig& stage, const Batch& batch, const std::vector<int32_t>* codes,
                   const StepContext& context) {
  const int64_t p = model.config().patches(), n = batch.size;
  // The same number of masked patches in every image: a partial Fisher-Yates shuffle an image.
  const int64_t first = first_sample(context, n);
  const int64_t count = std::clamp<int64_t>(std::llround(stage.mask_ratio * double(p)), 1, p);
  std::vector<uint8_t> masked(size_t(n * p), 0);
  std::vector<int32_t> patch(static_cast<size_t>(p));
  for (int64_t b = 0; b < n; ++b) {
    RandomStream random(context.seed, context.step, Purpose::kMaskImage, uint64_t(first + b));
    for (int64_t i = 0; i < p; ++i) patch[size_t(i)] = int32_t(i);
    for (int64_t i = 0; i < count; ++i) {
      std::swap(patch[size_t(i)], patch[size_t(i + random.below(uint32_t(p - i)))]);
      masked[size_t(b * p + patch[size_t(i)])] = 1;
    }
  }
  Tensor patches = batch_patches(model, batch, context.arena);
  const Metrics metrics = image_losses(model, stage, patches, masked, codes, context);
  context.arena.release(patches.data);
  return metrics;
}

Metrics image_losses(MomeModel& model, const ImageStageConfig& stage, Tensor patches, const std::vector<uint8_t>& masked,
                     const std::vector<int32_t>* codes, const StepContext& context) {
  const int64_t p = model.config().patches(), n = patches.rows / p, first = first_sample(context, n);
  const int64_t all = all_ranks(context, std::count(masked.begin(), masked.end(), uint8_t{1}));
  Readout readout(context.arena);
  std::vector<LossOut> losses;
  for (int64_t part = 0; part < stage.accumulate; ++part) {
    const int64_t begin = part * n / stage.accumulate, images = (part + 1) * n / stage.accumulate - begin;
    if (images == 0) continue;
    const std::vector<uint8_t> hidden(masked.begin() + begin * p, masked.begin() + (begin + images) * p);
    ForwardInputs in;
    in.images = images;
    in.patches = patches.slice(begin * p, images * p);
    in.masked = &hidden;
    std::vector<SequenceSpec> sequences{size_t(images)};
    std::vector<int32_t> target_rows, labels;
    for (int64_t b = 0; b < images; ++b) {
      sequences[size_t(b)].image = int32_t(b);
      sequences[size_t(b)].key = int32_t(first + begin + b);
      for (int64_t i = 0; i < p; ++i) {
        if (!hidden[size_t(b * p + i)]) continue;
        sequences[size_t(b)].read_image.push_back(int32_t(i + 1));
        target_rows.push_back(int32_t(b * p + i));
        if (codes) labels.push_back((*codes)[size_t((begin + b) * p + i)]);
      }
    }
    const auto layout = model.layout(in, sequences);
    Tape tape(context.arena, context.train);
    ForwardOptions options;
    if (context.train) options = {stage.drop_path, 0, context.seed, context.step, 0, stage.recompute};
    const ForwardOutput out = model.forward(tape, in, *layout, options);
    std::vector<int32_t> index;
    for (size_t b = 0; b < sequences.size(); ++b)
      for (int32_t t : sequences[b].read_image) index.push_back(layout->image_row(int(b), t));
    const GatherPlan rows = make_gather(out.states->rows(), std::move(index));
    Var* x = model.mim_output(tape, out.states, rows);
    const double share = double(target_rows.size()) / double(all);
    if (codes) {
      losses.push_back(cross_entropy_loss(tape, x, labels, share, context.loss_scale, readout));
    } else {
      Tensor target = context.arena.tensor(int64_t(target_rows.size()), patches.cols, patches.dtype);
      dispatch(tape.device(), target.dtype, [&]<class T>(auto& q) {
        gather_rows_forward<T>(q, target.rows, target.cols, in.patches.as<T>(), tape.on_device(target_rows), target.as<T>());
        normalize_patches<T>(q, target.rows, target.cols, target.as<T>(), target.as<T>());
      });
      losses.push_back(squared_error_loss(tape, x, target, share, context.loss_scale, readout));
      context.arena.release(target.data);
    }
    backward(tape, context, part + 1 == stage.accumulate);
  }
  readout.read();
  return means(losses, context.ranks, codes ? "mim_acc" : "");
}

MaskRule mask_rule(const std::string& masking) {
  if (masking == "clean") return MaskRule::kWords;
  if (masking == "as-published") return MaskRule::kPaddedAsPublished;
  fail("recipe: masking = \"{}\" is unknown; expected \"clean\" or \"as-published\"", masking);
}

void check_objective(const TextStageConfig& stage) { mask_rule(stage.masking); }

Metrics text_step(MomeModel& model, const TextStageConfig& stage, const Batch& batch, const WordPiece& words, const StepContext& context) {
  std::vector<MaskedText> texts;
  const int64_t first = first_sample(context, batch.size);
  for (int64_t b = 0; b < batch.size; ++b) {
    const auto text = std::span(batch.tokens).subspan(size_t(batch.text_begin[b]), size_t(batch.text_begin[b + 1] - batch.text_begin[b]));
    texts.push_back(mask_words(text, words, stage.mask_rate, context.seed, context.step, uint64_t(first + b), mask_rule(stage.masking),
                               int(model.config().text_length)));
  }
  return text_losses(model, stage, texts, context);
}

Metrics text_losses(MomeModel& model, const TextStageConfig& stage, const std::vector<MaskedText>& texts, const StepContext& context) {
  const int64_t n = int64_t(texts.size()), first = first_sample(context, n);
  int64_t words = 0;
  for (const MaskedText& masked : texts) words += int64_t(masked.positions.size());
  const int64_t all = all_ranks(context, words);
  Readout readout(context.arena);
  std::vector<LossOut> losses;
  for (int64_t part = 0; part < stage.accumulate; ++part) {
    ForwardInputs in;
    std::vector<SequenceSpec> sequences;
    std::vector<int32_t> labels;
    for (int64_t b = part * n / stage.accumulate; b < (part + 1) * n / stage.accumulate; ++b) {
      const MaskedText& masked = texts[size_t(b)];
      if (masked.positions.empty()) continue;  // nothing is asked of it
      SequenceSpec s;
      s.text = int32_t(sequences.size());
      s.key = int32_t(first + b);
      s.read_text.assign(masked.positions.begin(), masked.positions.end());
      sequences.push_back(s);
      in.tokens.insert(in.tokens.end(), masked.tokens.begin(), masked.tokens.end());
      in.text_lengths.push_back(int32_t(masked.tokens.size()));
      in.text_keys.push_back(int32_t(first + b));
      labels.insert(labels.end(), masked.labels.begin(), masked.labels.end());
    }
    if (sequences.empty()) continue;
    const auto layout = model.layout(in, sequences);
    Tape tape(context.arena, context.train);
    ForwardOptions options;
    if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 0, stage.recompute};
    const ForwardOutput out = model.forward(tape, in, *layout, options);
    std::vector<int32_t> index;
    for (size_t s = 0; s < sequences.size(); ++s)
      for (int32_t t : sequences[s].read_text) index.push_back(layout->text_row(int(s), t));
    const GatherPlan rows = make_gather(out.states->rows(), std::move(index));
    const double share = double(labels.size()) / double(all);
    losses.push_back(cross_entropy_loss(tape, model.mlm_logits(tape, out.states, rows), labels, share, context.loss_scale, readout));
    backward(tape, context, part + 1 == stage.accumulate);
  }
  readout.read();
  return means(losses, context.ranks, "mlm_acc");
}

}  // namespace mome
