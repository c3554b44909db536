#include "models/stages/checkpoint.h"

#include "models/checkpoints/beit.h"
#include "models/checkpoints/convert.h"
#include "models/checkpoints/fit.h"
#include "models/checkpoints/positions.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

void take_keys(LoadReport& report, const KeyReport& keys) {
  report.fresh = keys.missing;
  for (const auto* names : {&keys.official, &keys.unexpected})
    report.unused.insert(report.unused.end(), names->begin(), names->end());
}

// What write_safetensors reads the parameters' device by; nothing for the CPU.
Download download_of(const ParameterSet& p) {
  if (p.device().is_host()) return {};
  return [&device = p.device()](void* host, const void* from, size_t bytes) { device.download(host, from, bytes); };
}

}  // namespace

std::map<std::string, std::string> checkpoint_metadata(const MomeModel& model, std::map<std::string, std::string> metadata) {
  metadata[kModelKey] = describe({model.config(), model.parts()});
  metadata["format"] = "pt";  // what the Python loaders of safetensors look for
  return metadata;
}

void save_weights(const MomeModel& model, const std::string& path, bool average, const std::map<std::string, std::string>& metadata) {
  const ParameterSet& p = model.parameters();
  std::vector<TensorEntry> list;
  for (int i = 0; i < int(p.list().size()); ++i)
    list.push_back({p[i].name, dtype_name(p), p[i].shape,
                    (average && p.has_average() ? p.average(i) : p.value(i)).data});
  write_safetensors(path, list, checkpoint_metadata(model, metadata), download_of(p), true);
}

LoadReport load_weights(MomeModel& model, const std::string& path, const MayBeMissing& may_be_fresh, const std::string& hint) {
  LoadReport report;
  NamedTensors tensors = read_under_vlmo_names(path, &report.unused, true);
  remove_index_buffers(tensors);
  report.resized = fit_tensors(tensors, model);
  take_keys(report, load_tensors(model, tensors, may_be_fresh, hint));
  return report;
}

std::unique_ptr<MomeModel> open_checkpoint(const std::string& path, const OpenOptions& options, LoadReport* report) {
  NamedTensors tensors = read_tensors(path);
  const ConvertReport converted = convert_checkpoint(tensors, {.image_size = options.image_size,
                                                               .text_length = options.text_length,
                                                               .heads = options.heads,
                                                               .allow_missing = true});  // adopt_tensors does not
  auto model = std::make_unique<MomeModel>(converted.shape.config, converted.shape.parts, options.dtype, *options.device);
  const KeyReport keys = adopt_tensors(*model, tensors, {});
  if (report) {
    *report = {.fresh = {}, .unused = converted.dropped, .resized = {}};
    take_keys(*report, keys);
  }
  return model;
}

}  // namespace mome
