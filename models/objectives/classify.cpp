#include "models/objectives/classify.h"

namespace mome {
namespace {

// What a pass over the samples is made of; outlives its tape.
struct Pass {
  ForwardInputs in;
  std::shared_ptr<MomeLayout> layout;
  GatherPlan text_cls;  // of fused tasks
  Segments patches;     // of image classification
};

void plan_images(const MomeModel& model, Pass& pass) {
  std::vector<SequenceSpec> sequences{size_t(pass.in.images)};
  for (size_t b = 0; b < sequences.size(); ++b) {
    sequences[b].image = int32_t(b);
    sequences[b].read_all_image = true;
  }
  pass.layout = model.layout(pass.in, sequences);
  for (size_t b = 0; b < sequences.size(); ++b) {
    pass.patches.begin.push_back(pass.layout->image_row(int(b), 1));  // behind the class token
    pass.patches.count.push_back(int32_t(model.config().patches()));
  }
}

// A sample is one fused sequence an image: NLVR2's are neighbours, its text is embedded once for both.
void plan_fused(const MomeModel& model, const Batch& batch, int64_t images, Pass& pass) {
  pass.in.tokens = batch.tokens;
  for (int b = 0; b < batch.size; ++b)
    pass.in.text_lengths.push_back(batch.text_begin[size_t(b) + 1] - batch.text_begin[size_t(b)]);
  std::vector<SequenceSpec> sequences;
  for (int32_t b = 0; b < batch.size; ++b)
    for (int64_t i = 0; i < images; ++i) {
      SequenceSpec s;
      s.image = int32_t(i * batch.size + b);
      s.text = b;
      s.read_text = {0};
      sequences.push_back(s);
    }
  if (images == 2) pass.in.second_from = batch.size;
  pass.layout = model.layout(pass.in, sequences);
  std::vector<int32_t> rows;
  for (size_t s = 0; s < sequences.size(); ++s) rows.push_back(pass.layout->text_row(int(s), 0));
  pass.text_cls = make_gather(pass.layout->last.rows, std::move(rows));
}

Pass plan(const MomeModel& model, const TaskInputs& inputs) {
  const int64_t images = inputs.task == Task::kNlvr2 ? 2 : 1;
  Pass pass;
  pass.in.images = images * inputs.batch->size;
  pass.in.patches = inputs.patches;
  if (inputs.task == Task::kImageClassification) plan_images(model, pass);
  else plan_fused(model, *inputs.batch, images, pass);
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

SoftTargets soft_targets(const std::vector<Targets>& targets) {
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

std::vector<int32_t> labels_of(const std::vector<Targets>& targets) {
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
  const Pass pass = plan(model, inputs);
  MOME_CHECK(int64_t(inputs.targets->size()) == inputs.batch->size);
  const bool soft = inputs.task == Task::kVqa;
  const SoftTargets targets = soft ? soft_targets(*inputs.targets) : SoftTargets{};
  const std::vector<int32_t> labels = soft ? std::vector<int32_t>{} : labels_of(*inputs.targets);

  Tape tape(context.arena, context.train);
  ForwardOptions options;
  if (context.train) options = {stage.drop_path, stage.dropout, context.seed, context.step, 0, stage.recompute};
  Var* logits = logits_of(tape, model, inputs.task, pass, options);
  Readout readout(context.arena);
  Metrics metrics;
  if (soft) {
    const BinaryLossOut r = binary_cross_entropy_loss(tape, logits, targets, 1, context.loss_scale, readout);
    if (context.train) tape.backward();
    readout.read();
    metrics.add("loss", r.loss());
    metrics.add("acc", r.score());
  } else {
    const LossOut r = cross_entropy_loss(tape, logits, labels, 1, context.loss_scale, readout);
    if (context.train) tape.backward();
    readout.read();
    metrics.add("loss", r.loss());
    metrics.add("acc", double(r.correct()) / double(r.count));
  }
  return metrics;
}

std::vector<float> classify_logits(MomeModel& model, const TaskInputs& inputs, Arena& arena) {
  const Pass pass = plan(model, inputs);
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
