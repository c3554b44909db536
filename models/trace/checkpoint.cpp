// The model of a trace: from the checkpoint's tensors, and those that the inputs put in their
// place.
#include <algorithm>

#include "models/checkpoints/keys.h"
#include "models/trace/run.h"
#include "models/trace/trace.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr std::string_view kPrefix = "param.";

}  // namespace

NamedTensors with_parameters(NamedTensors checkpoint, const NamedTensors& inputs) {
  strip_prefixes(checkpoint);
  bool added = false;
  for (const NamedTensor& tensor : inputs.list) {
    if (!tensor.name.starts_with(kPrefix)) continue;
    NamedTensor parameter = tensor;
    parameter.name.erase(0, kPrefix.size());
    if (!is_float(parameter.dtype))
      fail("{}: tensor `{}` is {}; expected F32, F16, BF16 or F64", inputs.path, tensor.name,
           tensor.dtype);
    added = added || !checkpoint.find(parameter.name);
    checkpoint.put(std::move(parameter));
  }
  // A description tells of the model before; what was added is read off the shapes.
  if (const auto it = checkpoint.metadata.find(kModelKey);
      added && it != checkpoint.metadata.end()) {
    ModelShape shape = parse_description(checkpoint.path, it->second);
    NamedTensors bare = checkpoint;
    bare.metadata.clear();
    shape.parts = infer_shape(bare, shape.config.heads).parts;
    it->second = describe(shape);
  }
  return checkpoint;
}

ModelShape trace_shape(const NamedTensors& checkpoint, const TraceOptions& options) {
  const TraceModelConfig& said = options.config.model;
  ModelShape shape = infer_shape(checkpoint, said.heads);
  if (said.heads != 0 && said.heads != shape.config.heads)
    fail("{}: describes a model of {} heads; --set model.heads={} cannot change that",
         checkpoint.path, shape.config.heads, said.heads);
  if (said.text_length != 0) {
    if (checkpoint.find("text_embeddings.position_embeddings.weight") &&
        said.text_length != shape.config.text_length)
      fail(
          "{}: has positions for texts of {} tokens; --set model.text_length={} cannot change that",
          checkpoint.path, shape.config.text_length, said.text_length);
    shape.config.text_length = said.text_length;
  }
  const TraceMode& mode = trace_mode(options.mode);
  if (mode.name == "irtr")
    shape.config.itc_tail = false;  // the published fine-tuning contrasts once
  // Official files have a pooler in every stage, read or not.
  if (mode.name == "infer" && !shape.parts.has_pooler())
    shape.parts.pooler = checkpoint.find("pooler.dense.weight") != nullptr;
  require_parts(mode, shape, checkpoint.path);
  check(shape.config);
  return shape;
}

std::unique_ptr<MomeModel> open_model(const NamedTensors& checkpoint, const ModelShape& shape,
                                      const NamedTensors& inputs, DType dtype, Device& device) {
  auto model = std::make_unique<MomeModel>(shape.config, shape.parts, dtype, device);
  const KeyReport report = compare_keys(model->parameters(), checkpoint);
  if (!report.missing.empty())
    fail("{}: parameter `{}` is missing ({} in all); the inputs can add it as `param.{}`",
         checkpoint.path, report.missing[0], report.missing.size(), report.missing[0]);
  for (const std::string& name : report.unexpected)
    if (inputs.find(std::string(kPrefix) + name))
      fail("{}: tensor `{}{}`: the model has no such parameter", inputs.path, kPrefix, name);
  load_tensors(*model, checkpoint, {});
  return model;
}

}  // namespace mome
