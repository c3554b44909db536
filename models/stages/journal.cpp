#include "models/stages/journal.h"

namespace mome {

std::string short_text(const Metrics& m) {
  std::string out;
  for (const auto& [name, value] : m.values) out += fmt::format("{}{} {:.3g}", out.empty() ? "" : "  ", name, value);
  return out;
}

Journal::Journal(const RunConfig& config, const Training& training, int64_t first)
    : t_(training),
      log_(RunLog::open(config.output + "/log.jsonl", training.steps_before + first)),
      board_(config.output + "/tensorboard/" + training.name, first),
      progress_(training.name, training.stage.steps, first) {}

void Journal::done(int64_t step, const Metrics& metrics) { progress_.update(step + 1, short_text(metrics)); }

nlohmann::ordered_json Journal::fields(int64_t step) const { return {{"stage", t_.name}, {"stage_step", step}}; }

void Journal::write(int64_t step, const Metrics& metrics) {
  nlohmann::ordered_json fields = this->fields(step);
  for (const auto& [key, value] : metrics.values) {
    fields[key] = value;
    board_.scalar(key, step, value);
  }
  log_.write(t_.steps_before + step, fields);
}

void Journal::event(int64_t step, const char* key, const nlohmann::ordered_json& value) {
  nlohmann::ordered_json fields = this->fields(step);
  fields[key] = value;
  log_.write(t_.steps_before + step, fields);
}

}  // namespace mome
