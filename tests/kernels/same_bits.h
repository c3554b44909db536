// The demand that a kernel's results depend on its inputs alone.
#pragma once
#include "tests/kernels/gpu_testing.h"

namespace mome::testing {

/// Calls f(queue), which returns numbers, on every GPU device and demands the same bits under all schedules of the simt
/// device, and of two runs on a GPU.
template <class F>
void same_bits_on_every_gpu(F&& f) {
  std::vector<double> first;
  bool ran = false;
  on_every_gpu([&]<class Queue>(Queue& queue) {
    const std::vector<double> got = f(queue);
    if (!std::is_same_v<Queue, simt::Queue> || !ran) first = std::is_same_v<Queue, simt::Queue> ? got : f(queue);
    ran = true;
    ASSERT_EQ(got.size(), first.size());
    EXPECT_TRUE(got.empty() || std::memcmp(got.data(), first.data(), got.size() * sizeof(double)) == 0) << "other bits than the run before";
  });
}

}  // namespace mome::testing
