#include "models/objectives/classify.h"

#include "models/objectives/ranks.h"

namespace mome {
namespace {

// What a pass over the samples is made of; outlives its tape.
struct Pass {
  explicit Pass(Arena& of) : arena(&of) {}
  Pass(Pass&& other) noexcept = default;
  ~Pass() {
    if (layout && copied) arena->release(copied.data);  // without a layout it was moved from
  }
  Arena* arena;
  Tensor copied;  // patches, where they are not the inputs'
  ForwardInputs in;
  std::shared_ptr<MomeLayout> layout;
  GatherPlan text_cls;  // of fused tasks
  Segments patches;     // of image classification
};

void plan_images(const MomeModel& model, int64_t first, Pass& pass) {
  std::vector<SequenceSpec> sequences{size_t(pass.in.images)};
  for (size_t b = 0; b < sequences.size(); ++b) {
    sequences[b].image = int32_t(b);
    sequences[b].key = int32_t(first + int64_t(b));
    sequences[b].read_all_image = true;
  }
  pass.layout = model.layout(pass.in, sequences);
  for (size_t b = 0; b < sequences.size(); ++b) {
    pass.patches.begin.push_back(pass.layout->image_row(int(b), 1));  // behind the class token
    pass.patches.count.push_back(int32_t(model.config().patches()));
  }
}

// A sample is one fused sequence an image: NLVR2's are neighbours, its text is embedded once for both.
void plan_fused(const MomeModel& model, const Batch& batch, int64_t begin, int64_t end, int64_t images, int64_t first, Pass& pass) {
  pass.in.tokens.assign(batch.tokens.begin() + batch.text_begin[size_t(begin)], batch.tokens.begin() + batch.text_begin[size_t(end)]);
  std::vector<SequenceSpec> sequences;
  for (int64_t b = begin; b < end; ++b) {
    pass.in.text_lengths.push_back(batch.text_begin[size_t(b) + 1] - batch.text_begin[size_t(b)]);
    pass.in.text_keys.push_back(int32_t(first + b));
    for (int64_t i = 0; i < images; ++i) {
      SequenceSpec s;
      s.image = int32_t(i * (end - begin) + b - begin);
      s.text = int32_t(b - begin);
      s.key = int32_t((first + b) * images + i);
      s.read_text = {0};
      sequences.push_back(s);
    }
  }
  if (images == 2) pass.in.second_from = end - begin;
  pass.layout = model.layout(pass.in, sequences);
  std::vector<int32_t> rows;
  for (size_t s = 0; s < sequences.size(); ++s) rows.push_back(pass.layout->text_row(int(s), 0));
  pass.text_cls = make_gather(pass.layout->last.rows, std::move(rows));
}

// Samples [begin, end) of the inputs. `first`: this rank's first sample in the whole batch.
Pass plan(const MomeModel& model, const TaskInputs& inputs, int64_t begin, int64_t end, int64_t first, Arena& arena) {
  const int64_t images = inputs.task == Task::kNlvr2 ? 2 : 1, n = inputs.batch->size, p = model.config().patches();
  const int64_t rows = (end - begin) * p;
  Pass pass(arena);
  pass.in.images = images * (end - begin);
  pass.in.patches = inputs.patches.slice(begin * p, images == 1 || end - begin == n ? images * rows : rows);
  if (images == 2 && end - begin < n) {  // first and second images lie apart
    pass.in.patches = pass.copied = arena.tensor(2 * rows, inputs.patches.cols, inputs.patches.dtype);
    for (int64_t i = 0; i < 2; ++i) {
      const Tensor from = inputs.patches.slice((i * n + begin) * p, rows);
      arena.device().copy(pass.copied.slice(i * rows, rows).data, from.data, from.bytes());
    }
  }
  if (inputs.task == Task::kImageClassification) plan_images(model, first + begin, pass);
  else plan_fused(model, *inputs.batch, begin, end, images, first, pass);
  return pass;
}

Var* logits_of(Tape& tape, MomeModel& model, Task task, const Pass& pass, const ForwardOptions& options) {
  const ForwardOutput out = model.forward(tape, pass.in, *pass.layout, options);
  switch (task) {
    case Task::kVqa: return model.vqa_logits(tape, out.states, pass.text_cls);
    case Task::kNlvr2: return model.nlvr2_logits(tape, out.states, pass.text_cls);
    case Task::kEntailment: return model.entailment_logits(tape, out.states, pass.text_cls);
    case Task::kImageClassification: return model.image_logits(tape, out.raw, pass.patches);
    case Task::kRetrieval: break;
  }
  throw std::logic_error("retrieval has no classifier");
}

SoftTargets soft_targets(std::span<const Targets> targets) {
  SoftTargets out;
  for (const auto& of_sample : targets) {
    for (const auto& [c, score] : of_sample) {
      out.target_class.push_back(c);
      out.score.push_back(score);
    }
    out.begin.push_back(int32_t(out.target_class.size()));
  }
  return out;
}

std::vector<int32_t> labels_of(std::span<const Targets> targets) {
  std::vector<int32_t> labels;
  for (const auto& of_sample : targets) {
    MOME_CHECK(!of_sample.empty());
    labels.push_back(of_sample[0].first);
  }
  return labels;
}

}  // namespace

int64_t task_classes(const ModelParts& parts, Task task) {
  switch (task) {
    case Task::kVqa: return parts.vqa;
    case Task::kNlvr2: return parts.nlvr2 ? 2 : 0;
    case Task::kEntailment: return parts.entailment;
    case Task::kImageClassification: return parts.image_classes;
    case Task::kRetrieval: break;
  }
  return 0;
}

Tensor task_patches(const MomeModel& model, const Batch& batch, bool blind, Arena& arena) {
  const Tensor patches = batch_patches(model, batch, arena);
  if (blind) arena.device().zero(patches.data, patches.bytes());  // normalised, the middle of the scale is 0
  return patches;
}

Metrics classify_losses(MomeModel& model, const StageConfig& stage, const TaskInputs& inputs, const StepContext& context) {
  const int64_t n = inputs.batch->size, first = first_sample(context, n), all = all_ranks(context, n);
  MOME_CHECK(int64_t(inputs.targets->size()) == n);
  Readout readout(context.arena);
  std::vector<BinaryLossOut> soft_losses;
  std::vector<LossOut> losses;
  for (int64_t part = 0; part < stage.accumulate; ++part) {
    const int64_t begin = part * n / stage.accumulate, end = (part + 1) * n / stage.accumulate;
    if (begin == end) continue;
    const Pass pass = plan(model, inputs, begin, end, first, context.arena);
    const auto targets = std::span(*inputs.targets).subspan(size_t(begin), size_t(end - begin));
    const bool soft = inputs.task == Task::kVqa;
    const SoftTargets scores = soft ? soft_targets(targets) : SoftTargets{};
    const std::vector<int32_t> labels = soft ? std::vector<int32_t>{} : labels_of(targets);
    Tape tape(context.arena, context.train);
    ForwardOptions options;
    if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 0, stage.recompute};
    Var* logits = logits_of(tape, model, inputs.task, pass, options);
    const double share = double(end - begin) / double(all);
    if (soft) soft_losses.push_back(binary_cross_entropy_loss(tape, logits, scores, share, context.loss_scale, readout));
    else losses.push_back(cross_entropy_loss(tape, logits, labels, share, context.loss_scale, readout));
    backward(tape, context, part + 1 == stage.accumulate);
  }
  readout.read();
  double loss = 0, score = 0;
  for (const BinaryLossOut& r : soft_losses) loss += r.result->loss, score += r.result->score;
  for (const LossOut& r : losses) loss += r.result->loss, score += double(r.correct());
  const auto sums = sum_over_ranks(context.ranks, {loss, score});
  Metrics metrics;
  metrics.add("loss", sums[0] / double(all));
  metrics.add("acc", sums[1] / double(all));
  return metrics;
}

std::vector<float> classify_logits(MomeModel& model, const TaskInputs& inputs, Arena& arena) {
  const Pass pass = plan(model, inputs, 0, inputs.batch->size, 0, arena);
  Tape tape(arena, false);
  const Tensor logits = logits_of(tape, model, inputs.task, pass, {})->value;
  std::vector<float> out;
  dispatch(tape.device(), logits.dtype, [&]<class T>(auto& q) {
    std::vector<T> host(size_t(logits.count()));
    q.download(host.data(), logits.data, logits.bytes());
    for (const T v : host) out.push_back(float(to_float(v)));
  });
  return out;
}

}  // namespace mome
