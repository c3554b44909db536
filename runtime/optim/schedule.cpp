#include "runtime/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace mome {

double learning_rate(const std::string& kind, double peak, double final_fraction, int64_t warmup,
                     int64_t steps, int64_t t) {
  if (t < warmup) return peak * double(t) / double(warmup);
  const double done = std::clamp(double(t - warmup) / double(std::max<int64_t>(1, steps - warmup)), 0.0, 1.0);
  if (kind == "constant") return peak;
  if (kind == "linear") return peak * (1 + (final_fraction - 1) * done);
  if (kind == "cosine")
    return peak * (final_fraction + (1 - final_fraction) * 0.5 * (1 + std::cos(3.141592653589793 * done)));
  fail("unknown schedule \"{}\"; expected linear, cosine or constant", kind);
}

}  // namespace mome
