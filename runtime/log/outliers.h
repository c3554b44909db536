// Steps that stand out: the z-score of a value in a window of the last ones (llm.c's outlier
// detector). A loss or a gradient norm of |z| > 3 deserves a look, of 5 and more is mostly a bad
// batch or the begin of a divergence.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace mome {

/// One series of values. Mean and deviation are summed afresh for every value: a window is short
/// beside a step, and running sums (Welford 1962) keep the rounding of a spike long after it has
/// left.
class OutlierDetector {
 public:
  explicit OutlierDetector(int64_t window = 128);  // at least 2

  /// How many standard deviations `value` lies from the mean of the last `window` finite values
  /// before it; then it joins them. Nothing until the window is full, and for NaN and infinities,
  /// which do not join: one bad step must not blind the detector for a window's length. 0 if value
  /// and window are constant; infinity if only the window is.
  std::optional<double> add(double value);

 private:
  std::vector<double> window_;
  size_t size_, next_ = 0;
};

/// What a run's log watches.
class StepOutliers {
 public:
  static constexpr double kLarge = 5;
  struct Scores {
    std::optional<double> loss, grad_norm;  // the log's "loss_z" and "grad_z"
    /// Worth a line for people.
    bool large() const { return (loss && *loss > kLarge) || (grad_norm && *grad_norm > kLarge); }
  };
  explicit StepOutliers(int64_t window = 128) : loss_(window), grad_norm_(window) {}
  Scores add(double loss, double grad_norm) { return {loss_.add(loss), grad_norm_.add(grad_norm)}; }

 private:
  OutlierDetector loss_, grad_norm_;
};

}  // namespace mome
