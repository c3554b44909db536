// What in a line of log.jsonl differs between two runs that compute the same.
#pragma once
#include <nlohmann/json.hpp>

namespace mome {

template <class Json>
void remove_timing(Json& line) {
  for (const char* key : {"step_s", "samples_per_s", "input_wait", "comm_wait", "tflops", "mfu", "peak_tflops", "rss_mib", "loss_z", "grad_z"}) line.erase(key);
}

}  // namespace mome
