// Learning-rate schedules: linear warm-up from 0, then linear or cosine decay to final * peak.
#pragma once
#include <cstdint>
#include <string>

namespace mome {

/// Rate for step t (0-based) of `steps`: t/warmup * peak during warm-up (so step 0 has rate 0, as in the
/// official code), then decay that reaches final*peak at t = steps. kind: "linear", "cosine" or "constant".
double learning_rate(const std::string& kind, double peak, double final_fraction, int64_t warmup,
                     int64_t steps, int64_t t);

}  // namespace mome
