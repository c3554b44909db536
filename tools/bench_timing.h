// What every `mome bench` command measures with.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

#include "runtime/log/meter.h"  // peak_rss_mib

namespace mome {

/// Median of at least one value; of an even number the middle two's mean.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/// Seconds that `work` takes.
template <class F>
double seconds_of(F&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace mome
