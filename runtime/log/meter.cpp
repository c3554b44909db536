#include "runtime/log/meter.h"

#include <fmt/format.h>
#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "kernels/common/gemm.h"

namespace mome {
namespace {

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Peak measure() {
  constexpr int64_t n = 768;
  constexpr int kRuns = 5;  // the first also wakes the threads
  std::vector<float> a(size_t(n * n), 0.5f), b(size_t(n * n), 0.25f), c(size_t(n * n));
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const double start = monotonic_seconds();
    gemm(cpu, Trans::kNo, Trans::kYes, n, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f, c.data(), n);
    best = std::max(best, 2.0 * double(n) * double(n) * double(n) / (monotonic_seconds() - start));
  }
  return {best, fmt::format("{:.3g} GFLOP/s, the best product of {} x {} in float on {} threads",
                            best * 1e-9, n, n, omp_get_max_threads())};
}

}  // namespace

Peak measured_cpu_peak() {
  static const Peak peak = measure();
  return peak;
}

double peak_rss_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

StepMeter::StepMeter(Options options) : options_(std::move(options)) {
  if (!options_.clock) options_.clock = monotonic_seconds;
  since_ = options_.clock();
}

void StepMeter::step(int64_t samples, double flops) {
  const double now = options_.clock();
  busy_ += now - since_;
  since_ = now;
  ++steps_;
  samples_ += samples;
  flops_ += flops;
}

void StepMeter::restart() { since_ = options_.clock(); }

std::vector<std::pair<std::string, double>> StepMeter::fields(double device_mib) {
  std::vector<std::pair<std::string, double>> out;
  if (steps_ > 0 && busy_ > 0) {
    out = {{"step_s", busy_ / double(steps_)},
           {"samples_per_s", double(samples_) / busy_},
           {"input_wait", input_ / busy_},
           {"comm_wait", communication_ / busy_}};
    if (flops_ > 0) {
      out.emplace_back("tflops", flops_ / busy_ * 1e-12);
      if (options_.peak && options_.peak->flops > 0) {
        const double peak = options_.peak->flops * double(options_.ranks);
        out.emplace_back("mfu", flops_ / busy_ / peak);
        out.emplace_back("peak_tflops", peak * 1e-12);
      }
    }
    out.emplace_back("rss_mib", peak_rss_mib());
    if (device_mib > 0) out.emplace_back("memory_mib", device_mib);
  }
  busy_ = input_ = communication_ = flops_ = 0;
  steps_ = samples_ = 0;
  return out;
}

}  // namespace mome
