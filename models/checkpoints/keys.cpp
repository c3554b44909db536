#include "models/checkpoints/keys.h"

#include <algorithm>

#include "models/checkpoints/shape.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

bool starts_any(std::string_view name, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

/// The position table is in the files of relative models too, which never read it; the pooler is in
/// those of every stage.
bool is_official(std::string_view name) {
  return starts_any(name, {"text_embeddings.position_embeddings.", "text_embeddings.position_ids",
                           "pooler.dense.", "vqa_classifier.", "nlvr2_classifier.",
                           "relative_position_index", "text_relative_position_index",
                           "text_imag_relative_position_index", "transformer.mask_token",
                           "mlm_score.", "itm_score.", "itc_", "logit_scale", "logit_vl_scale"});
}

std::string listing(const char* title, const std::vector<std::string>& names) {
  return names.empty()
             ? ""
             : fmt::format("\n{} ({}):\n  {}", title, names.size(), fmt::join(names, "\n  "));
}

/// Whether the bytes can serve as the set's values where they lie.
bool is_like(const ParameterSet& parameters, const NamedTensor& tensor) {
  const DType dtype = parameters.dtype();
  return parameters.device().is_host() && tensor.dtype == (dtype == DType::kF32 ? "F32" : "F64") &&
         tensor.elements > 0 && reinterpret_cast<uintptr_t>(tensor.data) % size_of(dtype) == 0;
}

/// Adopts the tensors that `adopts` says may be, and copies the others.
template <class Adopts>
KeyReport take(MomeModel& model, const NamedTensors& tensors, const MayBeMissing& allowed,
               const std::string& hint, Adopts adopts) {
  ParameterSet& parameters = model.parameters();
  KeyReport report = compare_keys(parameters, tensors);
  require_keys(report, tensors.path, allowed, hint);
  for (int i = 0; i < int(parameters.list().size()); ++i) {
    const NamedTensor* tensor = tensors.find(parameters[i].name);
    if (!tensor) continue;
    if (adopts(parameters, *tensor))
      parameters.adopt(i, tensor->data, tensor->owner);
    else
      copy_values(tensors, *tensor, parameters.writable_value(i), parameters.device());
  }
  parameters.refresh_copies();
  return report;
}

}  // namespace

KeyReport compare_keys(const ParameterSet& parameters, const NamedTensors& tensors) {
  KeyReport report;
  for (const Parameter& p : parameters.list()) {
    const NamedTensor* t = tensors.find(p.name);
    if (!t)
      report.missing.push_back(p.name);
    else if (t->shape != p.shape)
      report.mismatched.push_back(
          fmt::format("{}: {}, expected {}", p.name, shape_text(t->shape), shape_text(p.shape)));
    else if (!is_float(t->dtype))
      report.mismatched.push_back(
          fmt::format("{}: {}, expected F32, F16, BF16 or F64", p.name, t->dtype));
  }
  for (const NamedTensor& t : tensors.list)
    if (parameters.find(t.name) < 0)
      (is_official(t.name) ? report.official : report.unexpected).push_back(t.name);
  return report;
}

void require_keys(const KeyReport& report, const std::string& path, const MayBeMissing& allowed,
                  const std::string& hint) {
  std::vector<std::string> missing;
  for (const std::string& name : report.missing)
    if (std::none_of(allowed.begin(), allowed.end(),
                     [&](const std::string& pattern) { return matches(pattern, name); }))
      missing.push_back(name);
  if (missing.empty() && report.mismatched.empty()) return;
  fail("{}: its tensors are not those of the model{}{}{}{}", path,
       listing("of another shape", report.mismatched), listing("missing", missing),
       listing("without a place in the model", report.unexpected),
       missing.empty() || hint.empty() ? "" : "\n" + hint);
}

KeyReport load_tensors(MomeModel& model, const NamedTensors& tensors, const MayBeMissing& allowed,
                       const std::string& hint) {
  return take(model, tensors, allowed, hint,
              [](const ParameterSet&, const NamedTensor&) { return false; });
}

KeyReport adopt_tensors(MomeModel& model, const NamedTensors& tensors, const MayBeMissing& allowed,
                        const std::string& hint) {
  return take(model, tensors, allowed, hint, is_like);
}

}  // namespace mome
