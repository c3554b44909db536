// What in a line of log.jsonl differs between two runs that compute the same.
#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace mome {

template <class Json>
void remove_timing(Json& line) {
  for (const char* key : {"step_s", "samples_per_s", "input_wait", "comm_wait", "tflops", "mfu", "peak_tflops", "rss_mib", "loss_z", "grad_z"}) line.erase(key);
}

/// A log.jsonl without that.
inline std::string log_without_timing(const std::string& path) {
  std::string out;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    nlohmann::ordered_json j = nlohmann::ordered_json::parse(line);
    remove_timing(j);
    out += j.dump() + "\n";
  }
  return out;
}

}  // namespace mome
