#include "tools/report/log.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"

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

const Curve* StageCurves::find(const std::string& name) const {
  for (const Curve& curve : curves)
    if (curve.name == name) return &curve;
  return nullptr;
}

// False: it is no line of a log.
bool LogReader::add(const std::string& line) {
  const auto record = nlohmann::ordered_json::parse(line, nullptr, false);
  if (!record.is_object() || !record.contains("stage") || !record["stage"].is_string() ||
      !record.contains("step") || !record["step"].is_number())
    return false;
  const std::string name = record["stage"];
  auto stage = std::find_if(stages_.begin(), stages_.end(),
                            [&](const StageCurves& known) { return known.stage == name; });
  if (stage == stages_.end()) stage = stages_.insert(stages_.end(), {name, {}});
  current_ = size_t(stage - stages_.begin());
  // A run counts its steps through all stages; a curve starts where its stage does.
  const double x = record.contains("stage_step") && record["stage_step"].is_number()
                       ? record["stage_step"]
                       : record["step"];
  stage->last_step = x;
  for (const auto& [key, value] : record.items())
    if (key != "step" && key != "stage_step" && value.is_number() &&
        std::isfinite(value.get<double>()))
      add_point(curve_of(*stage, key), x, value);
  return true;
}

bool LogReader::read_from_here(bool whole) {
  std::ifstream in(file_);
  if (!in) fail("{}: cannot be read; expected the run's log of JSON lines", file_);
  in.seekg(offset_);
  bool any = false;
  for (std::string line; std::getline(in, line);) {
    const bool cut = in.eof();  // no newline behind it
    if (cut && whole) break;
    if (!line.empty() && !add(line)) {
      if (cut) break;
      fail("{}: line {}: expected a JSON object with \"stage\" (text) and \"step\" (number)", file_,
           lines_ + 1);
    }
    any = any || !line.empty();
    ++lines_;
    offset_ += int64_t(line.size()) + !cut;
  }
  return any;
}

bool LogReader::read(bool whole) {
  std::error_code ignored;
  const int64_t size = int64_t(std::filesystem::file_size(file_, ignored));
  const bool shorter = size < offset_;
  if (!shorter) {
    const int64_t offset = offset_;
    try {
      return read_from_here(whole);
    } catch (const Error&) {
      // Cut and grown again between two looks: then the whole of it still reads well.
      if (offset == 0) throw;
    }
  }
  *this = LogReader(file_);
  read_from_here(whole);
  return true;
}

std::vector<StageCurves> read_log(const std::string& file) {
  LogReader reader(file);
  reader.read();
  return reader.stages();
}

}  // namespace mome
