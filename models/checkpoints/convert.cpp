#include "models/checkpoints/convert.h"

#include "models/checkpoints/beit.h"
#include "models/checkpoints/positions.h"
#include "runtime/core/error.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

bool take_names(NamedTensors& tensors, const std::string& from, std::vector<std::string>& dropped) {
  if (from != "auto" && from != "beit" && from != "vlmo")
    throw UsageError(fmt::format("--from {}: expected auto, beit or vlmo", from));
  const bool beit = is_beit(tensors);
  if (from == "beit" && !beit)
    fail("{}: no tensor `blocks.0.mlp.fc1.weight`; expected BEiT's names", tensors.path);
  if (beit && from != "vlmo") dropped = import_beit(tensors);
  return beit && from != "vlmo";
}

void resize(NamedTensors& tensors, ModelConfig& c, const ConvertOptions& options) {
  if (options.image_size != 0) {
    if (options.image_size < c.patch || options.image_size % c.patch != 0)
      throw UsageError(fmt::format("image size {}: expected a multiple of the patch, {} pixels",
                                   options.image_size, c.patch));
    resize_image_positions(tensors, c.grid(), options.image_size / c.patch);
    c.image_size = options.image_size;
  }
  if (options.text_length != 0) {
    const int64_t longest = c.positions == "relative" ? 196 : INT64_MAX;
    if (options.text_length < 3 || options.text_length > longest)
      throw UsageError(
          fmt::format("text length {}: expected 3 or more, and 196 or less with "
                      "relative positions",
                      options.text_length));
    resize_text_positions(tensors, options.text_length);
    c.text_length = options.text_length;
  }
}

}  // namespace

ConvertReport convert_checkpoint(NamedTensors& tensors, const ConvertOptions& options) {
  ConvertReport report;
  strip_prefixes(tensors);
  report.beit = take_names(tensors, options.from, report.dropped);
  report.dropped.insert(report.dropped.begin(), tensors.ignored.begin(), tensors.ignored.end());
  for (std::string& name : remove_index_buffers(tensors)) report.dropped.push_back(std::move(name));
  ModelShape& shape = report.shape;
  shape = infer_shape(tensors, options.heads);
  resize(tensors, shape.config, options);

  report.keys = compare_keys(MomeModel(shape.config, shape.parts).parameters(), tensors);
  MayBeMissing allowed;
  if (options.allow_missing) allowed = {"*"};
  // What a BEiT file never has: the types of both modalities, and the final norm of files that were
  // fine-tuned with mean pooling.
  else if (report.beit)
    allowed = {kTypesName, "transformer.norm.*"};
  require_keys(report.keys, tensors.path, allowed, kAllowMissingHint);

  if (!options.dtype.empty())
    for (NamedTensor& tensor : tensors.list)
      if (is_float(tensor.dtype)) tensor = cast(tensors, tensor, options.dtype);
  if (options.index_buffers)
    add_index_buffers(tensors, shape.config.positions == "relative", shape.config.grid(),
                      shape.parts.text ? shape.config.text_length : 0);
  tensors.metadata[kModelKey] = describe(shape);
  tensors.metadata["format"] = "pt";  // what the Python loaders of safetensors look for
  return report;
}

void write_tensors(const NamedTensors& tensors, const std::string& path) {
  std::vector<TensorEntry> entries;
  for (const NamedTensor& t : tensors.list) entries.push_back({t.name, t.dtype, t.shape, t.data});
  write_safetensors(path, entries, tensors.metadata);
}

}  // namespace mome
