#include "models/stages/checkpoint.h"

#include <algorithm>
#include <cfloat>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "models/checkpoints/beit.h"
#include "models/checkpoints/convert.h"
#include "models/checkpoints/fit.h"
#include "models/checkpoints/positions.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOptimizerKey = "mome.optimizer";

std::vector<TensorEntry> entries(const ParameterSet& p, const std::string& prefix, bool trained_only, auto value) {
  std::vector<TensorEntry> out;
  for (size_t i = 0; i < p.list().size(); ++i)
    if (p.list()[i].trained || !trained_only)
      out.push_back({prefix + p.list()[i].name, p.dtype() == DType::kF32 ? "F32" : "F64", p.list()[i].shape, value(int(i)).data});
  return out;
}

// One tensor of a resume point over `to`: it was saved from a model of the very same shape.
void copy_in(const NamedTensors& file, const std::string& name, const std::vector<int64_t>& shape, Tensor to, Device& device) {
  const NamedTensor& t = file.at(name);
  if (t.shape != shape)
    fail("{}: tensor `{}` has shape {}; the model expects {}", file.path, name, shape_text(t.shape), shape_text(shape));
  copy_values(file, t, to, device);
}

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

// The optimiser's progress is written where it says more than the step's number does: a step was skipped, or a loss is scaled.
void write_progress(const OptimizerProgress& progress, int64_t step, std::map<std::string, std::string>& metadata) {
  OptimizerProgress plain;
  plain.t = step;
  plain.loss_scale = 1;
  if (progress == plain) return;
  metadata[kOptimizerKey] = nlohmann::json{{"t", progress.t},
                                           {"skipped", progress.skipped},
                                           {"skipped_in_a_row", progress.skipped_in_a_row},
                                           {"loss_scale", progress.loss_scale},
                                           {"good_steps", progress.good_steps}}.dump();
}
OptimizerProgress read_progress(const NamedTensors& state, int64_t step) {
  OptimizerProgress progress;
  progress.t = step;
  const auto it = state.metadata.find(kOptimizerKey);
  if (it == state.metadata.end()) return progress;
  try {
    const nlohmann::json j = nlohmann::json::parse(it->second);
    progress.t = j.at("t");
    progress.skipped = j.at("skipped");
    progress.skipped_in_a_row = j.at("skipped_in_a_row");
    progress.loss_scale = j.at("loss_scale");
    progress.good_steps = j.at("good_steps");
  } catch (const nlohmann::json::exception& e) {
    fail("{}: metadata \"{}\" does not describe an optimiser: {}", state.path, kOptimizerKey, e.what());
  }
  const float scale = progress.loss_scale;
  if (progress.t < 0 || !(scale > 0 && scale <= FLT_MAX) || progress.good_steps < 0)
    fail("{}: metadata \"{}\" has t {}, loss_scale {} and good_steps {}; expected a finite scale above 0 and counts from 0", state.path,
         kOptimizerKey, progress.t, scale, progress.good_steps);
  return progress;
}

std::string weights_name(const std::string& dir, int64_t step) { return fmt::format("{}/step-{:08}.safetensors", dir, step); }
std::string state_name(const std::string& dir, int64_t step) { return fmt::format("{}/step-{:08}.state.safetensors", dir, step); }

std::vector<int64_t> steps_in(const std::string& dir) {
  std::set<int64_t> steps;
  std::error_code ignored;
  for (const auto& e : fs::directory_iterator(dir, ignored)) {
    const std::string name = e.path().filename().string();
    if (name.starts_with("step-") && name.size() > 13) steps.insert(std::atoll(name.c_str() + 5));
  }
  return {steps.rbegin(), steps.rend()};
}

}  // namespace

void save_weights(const MomeModel& model, const std::string& path, bool average, std::map<std::string, std::string> metadata) {
  const ParameterSet& p = model.parameters();
  metadata[kModelKey] = describe({model.config(), model.parts()});
  metadata["format"] = "pt";  // what the Python loaders of safetensors look for
  const auto list = entries(p, "", false, [&](int i) { return average && p.has_average() ? p.average(i) : p.value(i); });
  write_safetensors(path, list, metadata, download_of(p));
}

LoadReport load_weights(MomeModel& model, const std::string& path, const MayBeMissing& may_be_fresh, const std::string& hint) {
  LoadReport report;
  NamedTensors tensors = read_under_vlmo_names(path, &report.unused);
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

void save_resume_point(const MomeModel& model, const std::string& dir, int64_t step, const std::map<std::string, std::string>& metadata,
                       const OptimizerProgress& progress) {
  const ParameterSet& p = model.parameters();
  auto list = entries(p, "exp_avg.", true, [&](int i) { return p.moment1(i); });
  const auto second = entries(p, "exp_avg_sq.", true, [&](int i) { return p.moment2(i); });
  list.insert(list.end(), second.begin(), second.end());
  if (p.has_average()) {
    const auto average = entries(p, "average.", false, [&](int i) { return p.average(i); });
    list.insert(list.end(), average.begin(), average.end());
  }
  std::map<std::string, std::string> with_progress = metadata;
  write_progress(progress, step, with_progress);
  write_safetensors(state_name(dir, step), list, with_progress, download_of(p));
  // The weights last: a pair is whole when they are there.
  save_weights(model, weights_name(dir, step), false, metadata);
  for (int64_t old : steps_in(dir))
    if (old != step) {
      std::error_code ignored;
      fs::remove(weights_name(dir, old), ignored);
      fs::remove(state_name(dir, old), ignored);
    }
}

int64_t load_resume_point(MomeModel& model, const std::string& dir, const std::map<std::string, std::string>& metadata,
                          std::vector<std::string>& problems, OptimizerProgress& progress) {
  ParameterSet& p = model.parameters();
  Device& device = p.device();
  for (int64_t step : steps_in(dir)) {
    if (!fs::exists(weights_name(dir, step)) || !fs::exists(state_name(dir, step))) continue;
    try {
      const NamedTensors weights = read_tensors(weights_name(dir, step)), state = read_tensors(state_name(dir, step));
      for (const auto& [key, value] : metadata) {
        const auto it = state.metadata.find(key);
        if (it == state.metadata.end() || it->second != value)
          throw UsageError(fmt::format(
              "{}: was saved by a run with another recipe ({} differs); change `output`, or remove that folder to start anew",
              state_name(dir, step), key));
      }
      const OptimizerProgress found = read_progress(state, step);
      for (size_t i = 0; i < p.list().size(); ++i) {
        const Parameter& q = p[int(i)];
        copy_in(weights, q.name, q.shape, p.writable_value(int(i)), device);
        if (q.trained) {
          copy_in(state, "exp_avg." + q.name, q.shape, p.moment1(int(i)), device);
          copy_in(state, "exp_avg_sq." + q.name, q.shape, p.moment2(int(i)), device);
        }
        if (p.has_average()) copy_in(state, "average." + q.name, q.shape, p.average(int(i)), device);
      }
      p.refresh_copies();
      progress = found;
      return step;
    } catch (const UsageError&) {
      throw;
    } catch (const Error& e) {
      problems.push_back(e.what());
    }
  }
  return -1;
}

}  // namespace mome
