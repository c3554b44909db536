#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "runtime/core/error.h"
#include "tools/report/page.h"

namespace mome {
namespace {

Curve& curve_of(StageCurves& stage, const std::string& name) {
  for (Curve& curve : stage.curves)
    if (curve.name == name) return curve;
  stage.curves.push_back({name, {}, {}});
  return stage.curves.back();
}

void add_point(Curve& curve, double step, double value) {
  while (!curve.x.empty() && curve.x.back() >= step) {
    curve.x.pop_back();
    curve.y.pop_back();
  }
  curve.x.push_back(step);
  curve.y.push_back(value);
}

}  // namespace

std::vector<StageCurves> read_log(const std::string& file) {
  std::ifstream in(file);
  if (!in) fail("{}: cannot be read; expected the run's log of JSON lines", file);
  std::vector<StageCurves> stages;
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const bool cut = in.eof();  // no newline behind it
    if (line.empty()) continue;
    const auto record = nlohmann::ordered_json::parse(line, nullptr, false);
    const bool good = record.is_object() && record.contains("stage") &&
                      record["stage"].is_string() && record.contains("step") &&
                      record["step"].is_number();
    if (!good && cut) break;
    if (!good)
      fail("{}: line {}: expected a JSON object with \"stage\" (text) and \"step\" (number)", file,
           number);
    const std::string name = record["stage"];
    auto stage = std::find_if(stages.begin(), stages.end(),
                              [&](const StageCurves& known) { return known.stage == name; });
    if (stage == stages.end()) stage = stages.insert(stages.end(), {name, {}});
    // A run counts its steps through all stages; a curve starts where its stage does.
    const double x = record.contains("stage_step") && record["stage_step"].is_number() ? record["stage_step"] : record["step"];
    for (const auto& [key, value] : record.items())
      if (key != "step" && key != "stage_step" && value.is_number() && std::isfinite(value.get<double>()))
        add_point(curve_of(*stage, key), x, value);
  }
  return stages;
}

}  // namespace mome
