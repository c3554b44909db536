#include "runtime/log/meter.h"

#include <gtest/gtest.h>

#include "kernels/common/gemm.h"

namespace mome {
namespace {

using Fields = std::vector<std::pair<std::string, double>>;

double get(const Fields& fields, const std::string& name) {
  for (const auto& [key, value] : fields)
    if (key == name) return value;
  ADD_FAILURE() << "no field " << name;
  return 0;
}
bool has(const Fields& fields, const std::string& name) {
  for (const auto& field : fields)
    if (field.first == name) return true;
  return false;
}

struct Clock {
  double now = 100;
  StepMeter::Options options(std::optional<Peak> peak, int64_t ranks = 1) {
    return {std::move(peak), ranks, [this] { return now; }};
  }
};

TEST(StepMeter, AveragesTheStepsOfAnInterval) {
  Clock clock;
  StepMeter meter(clock.options(Peak{4e12, "test"}, 2));
  clock.now += 3;
  meter.input_wait(0.5);
  meter.step(32, 8e12);
  clock.now += 1;
  meter.input_wait(0.25);
  meter.communication_wait(1);
  meter.step(32, 8e12);
  clock.now += 50;  // an evaluation
  meter.restart();
  const Fields first = meter.fields(123);
  EXPECT_EQ(get(first, "step_s"), 2);
  EXPECT_EQ(get(first, "samples_per_s"), 16);
  EXPECT_EQ(get(first, "input_wait"), 0.75 / 4);
  EXPECT_EQ(get(first, "comm_wait"), 0.25);
  EXPECT_EQ(get(first, "tflops"), 4);
  EXPECT_EQ(get(first, "mfu"), 0.5);  // of two ranks' peaks
  EXPECT_EQ(get(first, "memory_mib"), 123);
  EXPECT_EQ(get(first, "rss_mib"), peak_rss_mib());
  EXPECT_TRUE(meter.fields().empty());  // no step since

  clock.now += 2;  // the next interval starts from nothing
  meter.step(8, 0);
  const Fields second = meter.fields();
  EXPECT_EQ(get(second, "samples_per_s"), 4);
  EXPECT_EQ(get(second, "input_wait"), 0);
  EXPECT_FALSE(has(second, "tflops") || has(second, "mfu") || has(second, "memory_mib"));
}

TEST(StepMeter, AnUnknownPeakGivesNoMfu) {
  Clock clock;
  StepMeter meter(clock.options(std::nullopt));
  clock.now += 1;
  meter.step(1, 1e12);
  const Fields fields = meter.fields();
  EXPECT_EQ(get(fields, "tflops"), 1);
  EXPECT_FALSE(has(fields, "mfu"));
}

TEST(StepMeter, TheCpusPeakIsMeasuredOnce) {
  const Peak peak = measured_cpu_peak();
  // Between a slow core's scalar product and anything that a socket does.
  EXPECT_GT(peak.flops, 1e8);
  EXPECT_LT(peak.flops, 1e15);
  EXPECT_NE(peak.name.find("768"), std::string::npos);
  const int64_t before = gemm_count().calls;
  EXPECT_EQ(measured_cpu_peak().flops, peak.flops);
  EXPECT_EQ(gemm_count().calls, before);
}

}  // namespace
}  // namespace mome
