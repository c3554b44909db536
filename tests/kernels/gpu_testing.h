// Tests of the CUDA kernels: one test body runs on every GPU device that is present. On the simt device it runs under
// several schedules of threads and, where tensor cores matter, as each architecture.
#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "kernels/simt/queue.h"
#include "tests/kernels/kernel_testing.h"

#if defined(MOME_WITH_CUDA)
#include "kernels/cuda/queue.h"
#endif

namespace mome::testing {

/// An array on the queue's device, exactly as long as asked for (an access beyond it is a fault under simt).
template <class T, class Queue>
class DeviceArray {
 public:
  DeviceArray(Queue& queue, const std::vector<T>& values) : queue_(queue), count_(values.size()), data_(static_cast<T*>(queue.allocate(bytes()))) {
    queue_.upload(data_, values.data(), bytes());
  }
  /// Poisoned: NaN in every floating type.
  DeviceArray(Queue& queue, size_t count) : queue_(queue), count_(count), data_(static_cast<T*>(queue.allocate(bytes()))) {
    queue_.fill(data_, 0xff, bytes());
  }
  ~DeviceArray() {
    queue_.synchronize();
    queue_.release(data_);
  }
  DeviceArray(const DeviceArray&) = delete;
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> out(count_);
    queue_.download(out.data(), data_, bytes());
    return out;
  }

 private:
  size_t bytes() const { return count_ * sizeof(T); }
  Queue& queue_;
  size_t count_;
  T* data_;
};

/// Rounds to the storage type, and back.
template <class T, class From>
std::vector<T> rounded(const std::vector<From>& v) {
  std::vector<T> out;
  out.reserve(v.size());
  for (From x : v) out.push_back(from_float<T>(float(x)));
  return out;
}
template <class T>
std::vector<float> widened(const std::vector<T>& v) {
  std::vector<float> out;
  out.reserve(v.size());
  for (T x : v) out.push_back(to_float(x));
  return out;
}
template <class T>
std::vector<double> doubles(const std::vector<T>& v) {
  std::vector<double> out;
  out.reserve(v.size());
  for (T x : v) out.push_back(to_float(x));
  return out;
}

/// Unit roundoff distance of a storage type: the gap above 1.
template <class T>
constexpr double epsilon() {
  return std::is_same_v<T, half> ? 0x1p-10 : std::is_same_v<T, bf16> ? 0x1p-7 : 0x1p-23;
}

/// within_twice for storage types: the error of `op` is at most twice that of `plain` (the same formula in float, stored as
/// T where the operation stores T), both against the double oracle, plus one rounding of the largest element.
template <class T>
::testing::AssertionResult as_exact_as(const std::vector<T>& op, const std::vector<T>& plain, const std::vector<double>& oracle) {
  double largest = 0;
  for (double v : oracle) largest = std::max(largest, std::fabs(v));
  const Error e = error_of(widened(op), oracle), p = error_of(widened(plain), oracle);
  if (e.max_abs <= 2 * p.max_abs + epsilon<T>() * largest) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "error " << e.max_abs << " against " << p.max_abs << " of the plain form, one rounding " << epsilon<T>() * largest;
}

/// Calls f(queue) on the simt device under 5 schedules and on cuda where there is a GPU. `architectures`: those that the
/// simt device plays.
template <class F>
void on_every_gpu(F&& f, std::vector<simt::Architecture> architectures = {simt::Architecture::kAmpere}) {
  for (simt::Architecture a : architectures)
    for (uint64_t seed = 0; seed < 5; ++seed) {
      SCOPED_TRACE(::testing::Message() << "simt, sm_" << int(a) << ", schedule " << seed);
      simt::Queue queue({.architecture = a, .seed = seed, .lazy = seed % 2 == 1});
      f(queue);
      if (::testing::Test::HasFatalFailure()) return;
    }
#if defined(MOME_WITH_CUDA)
  if (cuda::device_count() > 0) {
    SCOPED_TRACE("cuda");
    cuda::Queue queue(0);
    f(queue);
  }
#endif
}

}  // namespace mome::testing
