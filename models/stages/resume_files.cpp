#include "models/stages/resume_files.h"

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace mome {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBegin = "step-", kEnd = ".safetensors";

// Calls f and turns what the JSON library says into an Error about the file's metadata.
template <class F>
auto reading(const std::string& path, const char* key, F&& f) {
  try {
    return f();
  } catch (const nlohmann::json::exception& e) {
    fail("{}: metadata \"{}\" does not describe a resume point: {}", path, key, e.what());
  }
}

}  // namespace

std::string weights_name(const std::string& directory, int64_t step) {
  return fmt::format("{}/{}{:08}{}", directory, kBegin, step, kEnd);
}
std::string state_name(const std::string& directory, int64_t step, int rank, int ranks) {
  const std::string part = ranks == 1 ? "" : fmt::format("-{:05}-of-{:05}", rank, ranks);
  return fmt::format("{}/{}{:08}.state{}{}", directory, kBegin, step, part, kEnd);
}

int64_t step_of_file(const std::string& name) {
  if (!name.starts_with(kBegin)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [behind, error] = std::from_chars(name.data() + kBegin.size(), end, step);
  return error == std::errc() && behind != end && *behind == '.' ? step : -1;
}

std::set<int64_t> steps_with_weights(const std::string& directory) {
  std::set<int64_t> steps;
  std::error_code ignored;
  for (const auto& e : fs::directory_iterator(directory, ignored)) {
    const std::string name = e.path().filename().string();
    const int64_t step = step_of_file(name);
    if (step >= 0 && name == fs::path(weights_name("", step)).filename()) steps.insert(step);
  }
  return steps;
}

std::string piece_name(const Parameter& p, int64_t begin, int64_t end) {
  return begin == 0 && end == p.count ? p.name : fmt::format("{}[{}:{}]", p.name, begin, end);
}

PieceOf parse_piece(const std::string& name) {
  const size_t open = name.rfind('['), colon = name.rfind(':');
  if (open == std::string::npos || colon == std::string::npos || colon < open || name.back() != ']') return {name};
  return {name.substr(0, open), std::atoll(name.c_str() + open + 1), std::atoll(name.c_str() + colon + 1)};
}

void for_shard(const StateShard& shard, const Parameter& p, const std::function<void(int64_t, int64_t)>& f) {
  if (shard.size == 1 && shard.ranges.empty()) return f(0, p.count);
  for (const auto& [first, second] : shard.ranges) {
    const int64_t begin = std::max(first, p.begin), end = std::min(second, p.end());
    if (begin < end) f(begin - p.begin, end - p.begin);
  }
}

std::string save_text(const ResumePoint& point, int ranks) {
  return nlohmann::json{{"id", point.id}, {"step", point.step}, {"ranks", ranks}}.dump();
}

int ranks_of(const std::string& path, const std::string& text, int64_t step) {
  return reading(path, kSaveKey, [&] {
    const nlohmann::json j = nlohmann::json::parse(text);
    const int64_t found = j.at("step"), ranks = j.at("ranks");
    if (found != step || ranks < 1 || ranks > 99999) fail("{}: is of step {} and {} ranks, which its name is not", path, found, ranks);
    return int(ranks);
  });
}

std::string progress_text(const ResumePoint& point) {
  const OptimizerProgress& p = point.progress;
  const Detour& d = point.detour;
  return nlohmann::json{{"t", p.t},
                        {"skipped", p.skipped},
                        {"skipped_in_a_row", p.skipped_in_a_row},
                        {"loss_scale", p.loss_scale},
                        {"good_steps", p.good_steps},
                        {"detour", {{"batches", d.batches}, {"rollbacks", d.rollbacks}, {"bad_step", d.bad_step}}}}
      .dump();
}

void read_progress(const std::string& path, const std::string& text, ResumePoint& point) {
  OptimizerProgress& p = point.progress;
  Detour& d = point.detour;
  reading(path, kProgressKey, [&] {
    const nlohmann::json j = nlohmann::json::parse(text);
    p.t = j.at("t");
    p.skipped = j.at("skipped");
    p.skipped_in_a_row = j.at("skipped_in_a_row");
    p.loss_scale = j.at("loss_scale");
    p.good_steps = j.at("good_steps");
    const nlohmann::json& detour = j.at("detour");
    d.batches = detour.at("batches");
    d.rollbacks = detour.at("rollbacks");
    d.bad_step = detour.at("bad_step");
  });
  if (p.t < 0 || !(p.loss_scale > 0 && p.loss_scale <= FLT_MAX) || p.good_steps < 0 || d.batches < 0)
    fail("{}: metadata \"{}\" has t {}, loss_scale {}, good_steps {} and {} batches left out; expected a finite scale above 0 and counts from 0",
         path, kProgressKey, p.t, p.loss_scale, p.good_steps, d.batches);
}

}  // namespace mome
