// What a run's log says of its speed: seconds, waits, throughput, FLOPs against a peak, memory,
// over the steps since the last log line.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mome {

/// FLOP/s that an MFU is measured against, and in words where the figure comes from: both go into
/// the log.
struct Peak {
  double flops = 0;
  std::string name;
};

/// What this CPU multiplies with all its threads: the best of a few products of 768 x 768 matrices,
/// the engine's own gemm. Takes about a tenth of a second, the first time; then it is remembered.
/// They count in gemm_count().
Peak measured_cpu_peak();

class StepMeter {
 public:
  struct Options {
    std::optional<Peak> peak;  // none: no "mfu" in the log, rather than a wrong one
    int64_t ranks = 1;  // whose samples and FLOPs are added below; an MFU divides by as many peaks
    std::function<double()> clock;  // seconds; by default a monotonic clock
  };
  explicit StepMeter(Options options);
  StepMeter() : StepMeter(Options{}) {}

  void input_wait(double seconds) { input_ += seconds; }
  void communication_wait(double seconds) { communication_ += seconds; }
  /// A step is done. `samples` and `flops` (models/plan/flops.h) of all ranks.
  void step(int64_t samples, double flops);
  /// Leaves out what was done since the last step or log line: evaluation, saving.
  void restart();

  /// The log's fields over the steps since the last call, in this order, and begins anew: "step_s"
  /// (mean), "samples_per_s", "input_wait" and "comm_wait" (shares of the time), "tflops", "mfu" and
  /// the "peak_tflops" that it is a share of, where FLOPs and a peak are known, "rss_mib" (the most that was resident), "memory_mib" of the
  /// device (0: left out). Empty if there was no step.
  std::vector<std::pair<std::string, double>> fields(double device_mib = 0);
  const std::optional<Peak>& peak() const { return options_.peak; }

 private:
  Options options_;
  double since_, busy_ = 0, input_ = 0, communication_ = 0, flops_ = 0;
  int64_t steps_ = 0, samples_ = 0;
};

/// Most memory that this process has had resident, in MiB (VmHWM).
double peak_rss_mib();

}  // namespace mome
