#include "runtime/log/outliers.h"

#include <cmath>
#include <limits>

#include "runtime/core/error.h"

namespace mome {

OutlierDetector::OutlierDetector(int64_t window) : size_(size_t(window)) {
  MOME_CHECK(window >= 2);
  window_.reserve(size_);
}

std::optional<double> OutlierDetector::add(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (window_.size() < size_) {
    window_.push_back(value);
    return std::nullopt;
  }
  // Relative to one of them, so that equal values have exactly no deviation.
  const double origin = window_[0], n = double(size_);
  double sum = 0, squares = 0;
  for (const double v : window_) sum += v - origin;
  const double mean = sum / n;
  for (const double v : window_) squares += (v - origin - mean) * (v - origin - mean);
  const double deviation = std::sqrt(squares / n), distance = value - origin - mean;
  window_[next_] = value;
  next_ = (next_ + 1) % size_;
  if (deviation == 0)
    return distance == 0 ? 0 : std::copysign(std::numeric_limits<double>::infinity(), distance);
  return distance / deviation;
}

}  // namespace mome
