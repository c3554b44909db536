#include "kernels/multinomial/multinomial.h"
#include "models/mome/pool.h"
#include "models/objectives/pair_parts.h"

namespace mome {
namespace {

// Pairs [begin, end) of this rank's on their way through the model; outlives the tape.
struct Pass {
  int64_t begin = 0, end = 0;
  bool contrast = false;
  ForwardInputs in;
  std::shared_ptr<MomeLayout> layout;
  size_t first_masked = 0;            // sequences from this one on are of masked words
  std::vector<int32_t> labels;        // of the masked words
  std::vector<Pool> pools{4};         // image and text, without and with the fusion layers
  GatherPlan masked_rows;
};

// Images, then texts, alone, for the contrast; then pairs with masked words.
Pass plan(const MomeModel& model, const PairInputs& inputs, const Whole& whole, int64_t begin, int64_t end, bool contrast, bool words) {
  const Batch& batch = whole.mine;
  const int64_t n = end - begin, pairs = whole.all.size, p = model.config().patches();
  const bool mean = model.config().pool == "mean", tail = model.config().itc_tail && model.parts().fused;
  Pass pass;
  pass.begin = begin, pass.end = end, pass.contrast = contrast;
  ForwardInputs& in = pass.in;
  in.images = n;
  in.patches = inputs.patches.slice(begin * p, n * p);
  std::vector<SequenceSpec> sequences;
  for (int64_t b = 0; b < n && contrast; ++b) {
    SequenceSpec s;
    s.image = int32_t(b);
    s.key = int32_t(whole.first + begin + b);
    s.tail = tail;
    s.read_all_image = mean;
    if (!mean) s.read_image = {0};
    sequences.push_back(s);
  }
  for (int64_t b = 0; b < n && contrast; ++b) {
    const auto text = text_of(batch, begin + b);
    in.tokens.insert(in.tokens.end(), text.begin(), text.end());
    in.text_lengths.push_back(int32_t(text.size()));
    in.text_keys.push_back(int32_t(whole.first + begin + b));
    SequenceSpec s;
    s.text = int32_t(b);
    s.key = int32_t(pairs + whole.first + begin + b);
    s.tail = tail;
    s.read_all_text = mean;
    if (!mean) s.read_text = {0};
    sequences.push_back(s);
  }
  pass.first_masked = sequences.size();
  for (int64_t b = begin; words && b < std::min(end, int64_t(inputs.masked.size())); ++b) {
    const MaskedText& masked = inputs.masked[size_t(b)];
    if (masked.positions.empty()) continue;
    SequenceSpec s;
    s.image = int32_t(b - begin);
    s.text = int32_t(in.text_lengths.size());
    s.key = int32_t(2 * pairs + whole.first + b);
    in.text_keys.push_back(int32_t(pairs + whole.first + b));
    s.read_text.assign(masked.positions.begin(), masked.positions.end());
    sequences.push_back(s);
    in.tokens.insert(in.tokens.end(), masked.tokens.begin(), masked.tokens.end());
    in.text_lengths.push_back(int32_t(masked.tokens.size()));
    pass.labels.insert(pass.labels.end(), masked.labels.begin(), masked.labels.end());
  }
  if (!sequences.empty()) pass.layout = model.layout(in, std::move(sequences));
  return pass;
}

ForwardOutput run(Tape& tape, MomeModel& model, const PairStageConfig& stage, const Pass& pass, const StepContext& context) {
  ForwardOptions options;
  if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 0, stage.recompute};
  return model.forward(tape, pass.in, *pass.layout, options);
}

// Features of a pass's pairs: [image, text], with the fusion layers or without.
struct Features {
  Var *image = nullptr, *text = nullptr;
};
Features features(Tape& tape, MomeModel& model, Pass& pass, Var* states, bool tail) {
  const int64_t n = pass.end - pass.begin;
  Pool &image = pass.pools[tail ? 2 : 0], &text = pass.pools[tail ? 3 : 1];
  image = pool_plan(model, *pass.layout, states->rows(), 0, n, true, tail);
  text = pool_plan(model, *pass.layout, states->rows(), int(n), n, false, tail);
  return {model.itc_features(tape, pooled(tape, states, image), true, tail), model.itc_features(tape, pooled(tape, states, text), false, tail)};
}

// The contrast of all ranks' features, and the negatives where they are asked for.
class Contrast {
 public:
  Contrast(MomeModel& model, const PairStageConfig& stage, const Whole& whole, const StepContext& context, Readout& readout)
      : model_(model), stage_(stage), whole_(whole), context_(context), readout_(readout) {
    if (!duplicates_are_negatives(stage)) image_ids_ = &whole.all.image_ids, caption_ids_ = &whole.all.caption_ids;
    tails_ = model.config().itc_tail && model.parts().fused ? 2 : 1;
  }
  int tails() const { return tails_; }

  void operator()(Tape& tape, Features f, bool tail, FirstLosses& losses, Negatives* draw) {
    // Published, a rank's gradient reaches its own features only, and ranks are averaged (VLMo's gather has no backward).
    f.image = scale_gradient(tape, f.image, 1 / double(stage_.itc_world));
    f.text = scale_gradient(tape, f.text, 1 / double(stage_.itc_world));
    Var* scale = model_.logit_scale(tape, tail);
    if (context_.ranks) {
      f.image = gather_ranks(tape, f.image, *context_.ranks);
      f.text = gather_ranks(tape, f.text, *context_.ranks);
      // Every rank has the whole gradient of the scale; in the sum over ranks it counts once.
      if (context_.ranks->rank() != 0) scale = tape.leaf(scale->value);
    }
    Var* s = similarity(tape, f.image, f.text);
    if (draw) this->draw(tape, *s, *scale, *draw);
    losses.contrast_weight = stage_.itc_weight / tails_;
    losses.contrast.push_back(
        contrastive_loss(tape, s, scale, *image_ids_, *caption_ids_, losses.contrast_weight, context_.loss_scale, readout_));
  }

 private:
  // The one time that the host waits inside a step: which sequences the second pass packs depends on what is drawn.
  void draw(Tape& tape, const Var& s, const Var& scale, Negatives& negatives) const {
    const int64_t n = whole_.all.size;
    Tensor drawn = tape.scratch(2, n, DType::kI32);
    dispatch(tape.device(), s.value.dtype, [&]<class T>(auto& q) {
      using R = Real<T>;
      const R *v = s.value.as<R>(), *sharp = scale.value.as<R>();
      const int64_t* image_id = image_ids_->empty() ? nullptr : tape.on_device(*image_ids_);
      const int64_t* caption_id = caption_ids_->empty() ? nullptr : tape.on_device(*caption_ids_);
      int32_t* to = drawn.as<int32_t>();
      draw_negatives<R>(q, n, v, 1, n, sharp, image_id, caption_id, context_.seed, context_.step, 0, to);
      draw_negatives<R>(q, n, v, n, 1, stage_.itm_texts == "random" ? nullptr : sharp, image_id, caption_id, context_.seed, context_.step,
                        1, to + n);
    });
    negatives.image.resize(size_t(n));
    negatives.text.resize(size_t(n));
    tape.device().download(negatives.image.data(), drawn.slice(0, 1).data, size_t(n) * sizeof(int32_t));
    tape.device().download(negatives.text.data(), drawn.slice(1, 1).data, size_t(n) * sizeof(int32_t));
    tape.free(drawn);
  }

  MomeModel& model_;
  const PairStageConfig& stage_;
  const Whole& whole_;
  const StepContext& context_;
  Readout& readout_;
  const std::vector<int64_t> all_differ_;
  const std::vector<int64_t>*image_ids_ = &all_differ_, *caption_ids_ = &all_differ_;
  int tails_;
};

LossOut words_loss(Tape& tape, MomeModel& model, const PairStageConfig& stage, Pass& pass, Var* states, int64_t all_words,
                   const StepContext& context, Readout& readout) {
  std::vector<int32_t> index;
  const auto& sequences = pass.layout->sequences();
  for (size_t s = pass.first_masked; s < sequences.size(); ++s)
    for (int32_t t : sequences[s].read_text) index.push_back(pass.layout->text_row(int(s), t));
  pass.masked_rows = make_gather(states->rows(), std::move(index));
  const double share = all_words > 0 ? double(pass.labels.size()) / double(all_words) : 1;
  return cross_entropy_loss(tape, model.mlm_logits(tape, states, pass.masked_rows), pass.labels, stage.mlm_weight * share,
                            context.loss_scale, readout);
}

// The features of all micro-batches and the gradients at them.
class FeatureCache {
 public:
  FeatureCache(Arena& arena, int64_t rows) : arena_(arena), rows_(rows) {}
  ~FeatureCache() {
    for (const Tensor& t : {value_, grad_}) {
      if (t) arena_.release(t.data);
    }
  }
  FeatureCache(const FeatureCache&) = delete;

  void keep(Tensor rows, int64_t begin) {
    if (!value_) {
      value_ = arena_.tensor(rows_, rows.cols, rows.dtype);
      grad_ = arena_.zeros(rows_, rows.cols, rows.dtype);
    }
    arena_.device().copy(value_.slice(begin, rows.rows).data, rows.data, rows.bytes());
  }
  Var* leaf(Tape& tape) const { return tape.leaf(value_, grad_); }
  // Rows [begin, …) of the gradient become the gradient of `feature`.
  void seed(Tape& tape, Var* feature, int64_t begin) const {
    bool added = false;
    const Tensor to = tape.grad(feature, &added);
    MOME_CHECK(!added);
    if (to) tape.device().copy(to.data, grad_.slice(begin, to.rows).data, to.bytes());
  }

 private:
  Arena& arena_;
  int64_t rows_;
  Tensor value_, grad_;
};

}  // namespace

bool duplicates_are_negatives(const PairStageConfig& stage) {
  if (stage.duplicates != "masked" && stage.duplicates != "as-published")
    fail("recipe: stages.pairs.duplicates = \"{}\" is unknown; expected \"masked\" or \"as-published\"", stage.duplicates);
  return stage.duplicates == "as-published";
}

void first_pass(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const Whole& whole,
                const StepContext& context, FirstLosses& losses, Readout& readout, Negatives& negatives) {
  const bool draw = inputs.matched > 0 && negatives.image.empty(), contrasted = stage.itc_weight > 0 || draw;
  const int64_t n = whole.mine.size, parts = stage.accumulate;
  int64_t words = 0;
  for (const MaskedText& m : inputs.masked) words += int64_t(m.positions.size());
  if (!inputs.masked.empty()) words = all_ranks(context, words);
  Contrast contrast(model, stage, whole, context, readout);
  const bool last = inputs.matched == 0;

  if (parts == 1) {
    Pass pass = plan(model, inputs, whole, 0, n, contrasted, true);
    if (!pass.layout) return;
    Tape tape(context.arena, context.train);
    const ForwardOutput out = run(tape, model, stage, pass, context);
    for (int t = 0; contrasted && t < contrast.tails(); ++t)
      contrast(tape, features(tape, model, pass, out.states, t == 1), t == 1, losses, t == 0 && draw ? &negatives : nullptr);
    if (!inputs.masked.empty()) losses.words.push_back(words_loss(tape, model, stage, pass, out.states, words, context, readout));
    return backward(tape, context, last);
  }

  const auto begin_of = [&](int64_t part) { return part * n / parts; };
  FeatureCache image(context.arena, n), text(context.arena, n), image_tail(context.arena, n), text_tail(context.arena, n);
  FeatureCache* caches[2][2] = {{&image, &text}, {&image_tail, &text_tail}};
  if (contrasted) {
    for (int64_t part = 0; part < parts; ++part) {
      Pass pass = plan(model, inputs, whole, begin_of(part), begin_of(part + 1), true, false);
      if (pass.begin == pass.end) continue;
      Tape tape(context.arena, false);
      const ForwardOutput out = run(tape, model, stage, pass, context);
      for (int t = 0; t < contrast.tails(); ++t) {
        const Features f = features(tape, model, pass, out.states, t == 1);
        caches[t][0]->keep(f.image->value, pass.begin);
        caches[t][1]->keep(f.text->value, pass.begin);
      }
    }
    Tape tape(context.arena, context.train);
    for (int t = 0; t < contrast.tails(); ++t)
      contrast(tape, {caches[t][0]->leaf(tape), caches[t][1]->leaf(tape)}, t == 1, losses, t == 0 && draw ? &negatives : nullptr);
    backward(tape, context, false);
  }
  for (int64_t part = 0; part < parts; ++part) {
    Pass pass = plan(model, inputs, whole, begin_of(part), begin_of(part + 1), context.train && contrasted && stage.itc_weight > 0, true);
    if (!pass.layout) continue;
    Tape tape(context.arena, context.train);
    const ForwardOutput out = run(tape, model, stage, pass, context);
    for (int t = 0; pass.contrast && t < contrast.tails(); ++t) {
      const Features f = features(tape, model, pass, out.states, t == 1);
      caches[t][0]->seed(tape, f.image, pass.begin);
      caches[t][1]->seed(tape, f.text, pass.begin);
    }
    if (!inputs.masked.empty()) losses.words.push_back(words_loss(tape, model, stage, pass, out.states, words, context, readout));
    backward(tape, context, last && part + 1 == parts);
  }
}

}  // namespace mome
