// Evaluation passes without pruning: every named activation is read, and unpacked to the padded
// border.
#include <algorithm>
#include <cmath>
#include <deque>

#include "models/mome/pool.h"
#include "models/trace/run.h"

namespace mome {
namespace {

using Rows = std::vector<int64_t>;
using Hidden = decltype(ForwardOptions::hidden);

/// The inputs of a pass over some of the batch's images and texts, one sequence after another.
struct PassInputs {
  ForwardInputs in;
  std::vector<SequenceSpec> sequences;

  explicit PassInputs(const TraceRun& run) {
    in.patches = run.patches;
    in.images = run.patches ? run.patches.rows / run.model.config().patches() : 0;
  }
  /// Returns its number.
  int32_t add_text(const std::vector<int32_t>& tokens) {
    in.tokens.insert(in.tokens.end(), tokens.begin(), tokens.end());
    in.text_lengths.push_back(int32_t(tokens.size()));
    return int32_t(in.text_lengths.size()) - 1;
  }
  void add_sequence(int32_t image, int32_t text, bool tail = false) {
    SequenceSpec s;
    s.image = image, s.text = text, s.tail = tail;
    sequences.push_back(s);
  }
};

/// One pass, and the rows of its states.
class Pass {
 public:
  Pass(const TraceRun& run, PassInputs inputs, Hidden hidden = {})
      : run_(run),
        in_(std::move(inputs.in)),
        layout_(run.model.layout(in_, std::move(inputs.sequences), /*prune=*/false)),
        tape_(run.arena, /*record=*/false) {
    ForwardOptions options;
    options.hidden = std::move(hidden);
    states_ = run.model.forward(tape_, in_, *layout_, options);
  }

  /// Padded rows of the texts, or rows of the images, of n sequences from `first` on.
  Rows text_rows(int64_t first, int64_t n) const {
    Rows at;
    for (int64_t s = first; s < first + n; ++s)
      for (int64_t t = 0; t < run_.batch.padded; ++t)
        at.push_back(t < layout_->text_length(int(s)) ? layout_->text_row(int(s), int(t)) : -1);
    return at;
  }
  Rows image_rows(int64_t first, int64_t n) const {
    Rows at;
    for (int64_t s = first; s < first + n; ++s)
      for (int64_t i = 0; i < layout_->image_tokens(); ++i)
        at.push_back(layout_->image_row(int(s), int(i)));
    return at;
  }
  Rows first_rows(int64_t first, int64_t n, bool image) const {
    Rows at;
    for (int64_t s = first; s < first + n; ++s)
      at.push_back(image ? layout_->image_row(int(s), 0) : layout_->text_row(int(s), 0));
    return at;
  }
  /// Of all rows without padding among `at`; lives as long as the pass.
  const GatherPlan& plan(const Rows& at) {
    std::vector<int32_t> index;
    for (int64_t r : at)
      if (r >= 0) index.push_back(int32_t(r));
    return plans_.emplace_back(make_gather(states_.states->rows(), std::move(index)));
  }
  /// Contrast features of sequences [first, first + n).
  Var* features(int64_t first, int64_t n, bool image, bool tail) {
    const Pool& pool = pools_.emplace_back(
        pool_plan(run_.model, *layout_, states_.states->rows(), int(first), n, image, tail));
    return run_.model.itc_features(tape_, pooled(tape_, states_.states, pool), image, tail);
  }
  std::vector<double> values(const Var* x) { return values_of(run_.arena.device(), x->value); }
  /// A matrix of final states, or of the residual stream before the final norm, in rows `at`.
  std::vector<double> states(const Rows& at) { return rows_of(states_.states, at); }
  std::vector<double> raw(const Rows& at) { return rows_of(states_.raw, at); }

  Tape& tape() { return tape_; }
  Var* final_states() const { return states_.states; }

 private:
  std::vector<double> rows_of(const Var* x, const Rows& at) {
    return unpacked(values(x), x->cols(), at);
  }

  const TraceRun& run_;
  ForwardInputs in_;
  std::shared_ptr<MomeLayout> layout_;
  std::deque<GatherPlan> plans_;
  std::deque<Pool> pools_;
  Tape tape_;  // reads all of the above
  ForwardOutput states_;
};

// Image b with text b.
PassInputs pairs(const TraceRun& run) {
  PassInputs inputs(run);
  for (int32_t b = 0; b < run.batch.size; ++b)
    inputs.add_sequence(b, inputs.add_text(run.batch.texts[size_t(b)]));
  return inputs;
}

void write_infer(const TraceRun& run) {
  const int64_t b = run.batch.size, t = run.batch.padded, p = run.model.config().patches() + 1;
  const int64_t d = run.model.config().width;
  Device& device = run.arena.device();
  Pass pass(run, pairs(run), [&](int64_t block, const Var* x, const BlockRows& rows) {
    Rows at;
    for (const AttentionSequence& s : rows.attention.sequences) {
      for (int64_t i = 0; i < t; ++i) at.push_back(i < s.q_count[0] ? s.q_begin[0] + i : -1);
      for (int64_t i = 0; i < p; ++i) at.push_back(s.q_begin[1] + i);
    }
    run.out.add(fmt::format("out.hidden.{}", block), {b, t + p, d},
                unpacked(values_of(device, x->value), d, at));
  });
  const Rows cls = pass.first_rows(0, b, false);
  run.out.add("out.text_feats", {b, t, d}, pass.states(pass.text_rows(0, b)));
  run.out.add("out.image_feats", {b, p, d}, pass.states(pass.image_rows(0, b)));
  run.out.add("out.cls_feats", {b, d},
              pass.values(run.model.pooled(pass.tape(), pass.final_states(), pass.plan(cls))));
  run.out.add("out.raw_cls_feats", {b, d}, pass.raw(cls));
}

bool has_tail(const MomeModel& model) { return model.config().itc_tail && model.parts().fused; }

// Sequences 0 … B-1 are the images alone, B … 2B-1 the texts.
PassInputs singles(const TraceRun& run) {
  PassInputs inputs(run);
  const bool tail = has_tail(run.model);
  for (int32_t b = 0; b < run.batch.size; ++b) inputs.add_sequence(b, -1, tail);
  for (int32_t b = 0; b < run.batch.size; ++b)
    inputs.add_sequence(-1, inputs.add_text(run.batch.texts[size_t(b)]), tail);
  return inputs;
}

// The functions of the official model: those for fine-tuning (_ft) go without the tail. A model
// without the tail's heads has these alone.
void write_dual(const TraceRun& run) {
  const int64_t b = run.batch.size, d = run.model.config().width;
  const int64_t f = run.model.config().features();
  Pass pass(run, singles(run));
  for (const bool image : {true, false}) {
    const int64_t first = image ? 0 : b;
    const std::string side = image ? "image" : "text";
    const Rows all = image ? pass.image_rows(first, b) : pass.text_rows(first, b);
    const std::vector<double> feats = pass.states(all);
    const std::vector<double> cls = pass.values(pass.features(first, b, image, false));
    const std::vector<double> raw = pass.raw(pass.first_rows(first, b, image));
    for (const bool fine_tuning : {false, true}) {
      if (!fine_tuning && !has_tail(run.model)) continue;
      const std::string name = fmt::format("out.infer_{}{}.", side, fine_tuning ? "_ft" : "");
      run.out.add(name + side + "_feats", {b, int64_t(all.size()) / b, d}, feats);
      run.out.add(name + "cls_feats", {b, f}, cls);
      if (!fine_tuning)
        run.out.add(name + "cls_vlffn_feats", {b, f},
                    pass.values(pass.features(first, b, image, true)));
      run.out.add(name + "raw_cls_feats", {b, d}, raw);
    }
  }
}

void write_mlm_logits(const TraceRun& run, Pass& pass) {
  const int64_t b = run.batch.size, v = run.model.config().vocabulary;
  const Rows rows = pass.text_rows(0, b);
  const Var* logits = run.model.mlm_logits(pass.tape(), pass.final_states(), pass.plan(rows));
  Rows at;  // the logits are packed without padding
  int64_t next = 0;
  for (const int64_t row : rows) at.push_back(row < 0 ? -1 : next++);
  run.out.add("out.mlm_logits", {b, run.batch.padded, v}, unpacked(pass.values(logits), v, at));
}

void write_mlm(const TraceRun& run) {
  PassInputs inputs(run);
  for (int32_t b = 0; b < run.batch.size; ++b)
    inputs.add_sequence(b, inputs.add_text(run.batch.masked[size_t(b)].tokens));
  Pass pass(run, std::move(inputs));
  write_mlm_logits(run, pass);
}

void write_textmlm(const TraceRun& run) {
  const int64_t b = run.batch.size, d = run.model.config().width;
  PassInputs inputs(run);
  for (const MaskedText& text : run.batch.masked)
    inputs.add_sequence(-1, inputs.add_text(text.tokens));
  Pass pass(run, std::move(inputs));
  run.out.add("out.text_feats", {b, run.batch.padded, d}, pass.states(pass.text_rows(0, b)));
  run.out.add("out.raw_cls_feats", {b, d}, pass.raw(pass.first_rows(0, b, false)));
  write_mlm_logits(run, pass);
}

std::vector<double> transposed(const std::vector<double>& x, int64_t n) {
  std::vector<double> y(x.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) y[size_t(j * n + i)] = x[size_t(i * n + j)];
  return y;
}

/// Softmax of every row, then the positive's weight taken out: what negatives are drawn by.
std::vector<double> draw_weights(std::vector<double> logits, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    double* row = logits.data() + i * n;
    const double top = *std::max_element(row, row + n);
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += row[j] = std::exp(row[j] - top);
    for (int64_t j = 0; j < n; ++j) row[j] = j == i ? 0 : row[j] / sum;
  }
  return logits;
}

struct Similarities {
  double scale = 0;            // after exp
  std::vector<double> logits;  // [B, B] image to text
};
Similarities similarities(const TraceRun& run, Pass& pass, bool tail) {
  const int64_t b = run.batch.size;
  Var* image = pass.features(0, b, true, tail);
  Var* text = pass.features(b, b, false, tail);
  Similarities s;
  s.scale = std::exp(pass.values(run.model.logit_scale(pass.tape(), tail))[0]);
  s.logits = pass.values(similarity(pass.tape(), image, text));
  for (double& v : s.logits) v *= s.scale;
  return s;
}

void write_contrast(const TraceRun& run, bool logits, bool weights) {
  const int64_t b = run.batch.size;
  Pass pass(run, singles(run));
  for (const bool tail : {false, true}) {
    if (tail && (!has_tail(run.model) || !logits)) break;
    const Similarities s = similarities(run, pass, tail);
    const std::string tag = tail ? "vl_" : "";
    if (logits) {
      run.out.add("out.itc_" + tag + "i2t_logits", {b, b}, s.logits);
      run.out.add("out.itc_" + tag + "t2i_logits", {b, b}, transposed(s.logits, b));
      run.out.add_scalar("out.itc_logit_" + tag + "scale", s.scale);
    }
    if (weights && !tail) {
      run.out.add("out.weights_i2t", {b, b}, draw_weights(s.logits, b));
      run.out.add("out.weights_t2i", {b, b}, draw_weights(transposed(s.logits, b), b));
    }
  }
}

void write_irtr(const TraceRun& run) {
  Pass pass(run, singles(run));
  const Similarities s = similarities(run, pass, false);
  run.out.add("out.irtr_i2t_logits", {run.batch.size, run.batch.size}, s.logits);
  run.out.add_scalar("out.irtr_logit_scale", s.scale);
}

void write_vqa(const TraceRun& run) {
  const int64_t b = run.batch.size;
  Pass pass(run, pairs(run));
  const GatherPlan& cls = pass.plan(pass.first_rows(0, b, false));
  run.out.add("out.vqa_logits", {b, run.model.parts().vqa},
              pass.values(run.model.vqa_logits(pass.tape(), pass.final_states(), cls)));
}

void write_nlvr2(const TraceRun& run) {
  const auto b = int32_t(run.batch.size);
  PassInputs inputs(run);
  inputs.in.second_from = b;
  for (int32_t i = 0; i < b; ++i) {
    const int32_t text = inputs.add_text(run.batch.texts[size_t(i)]);
    inputs.add_sequence(i, text);
    inputs.add_sequence(b + i, text);
  }
  Pass pass(run, std::move(inputs));
  const GatherPlan& cls = pass.plan(pass.first_rows(0, 2 * b, false));
  run.out.add("out.nlvr2_logits", {b, 2},
              pass.values(run.model.nlvr2_logits(pass.tape(), pass.final_states(), cls)));
}

void write_itm(const TraceRun& run) {
  const int64_t n = run.batch.size;
  const Negatives& negatives = run.batch.negatives.front();
  PassInputs inputs(run);
  for (const std::vector<int32_t>& text : run.batch.texts) inputs.add_text(text);
  for (int32_t b = 0; b < n; ++b) inputs.add_sequence(b, b);
  for (int32_t b = 0; b < n; ++b) inputs.add_sequence(negatives.image[size_t(b)], b);
  for (int32_t b = 0; b < n; ++b) inputs.add_sequence(b, negatives.text[size_t(b)]);
  Pass pass(run, std::move(inputs));
  const GatherPlan& cls = pass.plan(pass.first_rows(0, 3 * n, false));
  run.out.add("out.itm_logits", {3 * n, 2},
              pass.values(run.model.itm_logits(pass.tape(), pass.final_states(), cls)));
  std::vector<int64_t> labels(size_t(3 * n), 0);
  std::fill_n(labels.begin(), n, 1);
  run.out.add_integers("out.itm_labels", {3 * n}, labels);
}

}  // namespace

void write_activations(const TraceRun& run) {
  const std::string& mode = run.mode.name;
  const bool all = mode == "stage3";
  if (mode == "infer") write_infer(run);
  if (mode == "dual") write_dual(run);
  if (mode == "textmlm") write_textmlm(run);
  if (mode == "irtr") write_irtr(run);
  if (mode == "vqa") write_vqa(run);
  if (mode == "nlvr2") write_nlvr2(run);
  if (all || mode == "mlm") write_mlm(run);
  if (all || mode == "itc" || mode == "itm")
    write_contrast(run, all || mode == "itc", all || mode == "itm");
  if (all || mode == "itm") write_itm(run);
}

}  // namespace mome
