// How a kernel is timed on a GPU: the L2 cache is overwritten before each run, events stand before and after it, the
// median of the runs counts. One JSON line a case.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/gpu/cases.h"
#include "kernels/common/half.h"
#include "kernels/common/philox.h"

namespace mome::bench {

/// Device memory with made-up values: normals times `scale`, rounded to T.
template <class T, class Queue>
class Array {
 public:
  Array(Queue& queue, int64_t count, double scale = 1) : queue_(queue), data_(static_cast<T*>(queue.allocate(size_t(count) * sizeof(T)))) {
    std::vector<T> host(static_cast<size_t>(count));
    RandomStream random(1, uint64_t(count), Purpose::kSynthetic, 0);
    for (T& v : host) v = from_float<T>(float(scale * random.normal()));
    queue.upload(data_, host.data(), host.size() * sizeof(T));
  }
  ~Array() {
    queue_.synchronize();
    queue_.release(data_);
  }
  Array(const Array&) = delete;
  T* data() const { return data_; }

 private:
  Queue& queue_;
  T* data_;
};

template <class Queue>
class Bench {
 public:
  Bench(Queue& queue, std::string dtype, std::string toolkit) : queue_(queue), dtype_(std::move(dtype)), toolkit_(std::move(toolkit)) {
    if constexpr (requires(Queue& q) { q.elapsed_ms(q.record(), q.record()); }) flush_ = queue.allocate(kFlush);
  }
  ~Bench() {
    queue_.synchronize();
    if (flush_) queue_.release(flush_);
  }

  /// Median milliseconds of f(), which enqueues work.
  template <class F>
  double time(F&& f) {
    constexpr int kWarmup = 5, kRuns = 21;
    std::vector<double> ms;
    if constexpr (requires(Queue& q) { q.elapsed_ms(q.record(), q.record()); }) {
      for (int i = 0; i < kWarmup; ++i) f();
      for (int i = 0; i < kRuns; ++i) {
        queue_.fill(flush_, 0, kFlush);
        auto start = queue_.record();
        f();
        auto end = queue_.record();
        ms.push_back(queue_.elapsed_ms(start, end));
      }
    } else {  // simt: the host's clock; a figure of the interpreter, not of a GPU
      const auto start = std::chrono::steady_clock::now();
      f();
      queue_.synchronize();
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
  }

  /// Prints the case. `amount` is bytes or FLOPs of the model in the kernel's head comment; unit "GB/s" or "TFLOP/s".
  void report(const std::string& part, const std::string& name, const std::string& pass, double ms, double amount, const std::string& unit, double reference) {
    const double rate = amount / (ms * 1e-3) * (unit == "GB/s" ? 1e-9 : 1e-12);
    nlohmann::ordered_json line = {{"part", part}, {"case", name}, {"pass", pass}, {"dtype", dtype_}, {"ms", ms}, {"rate", rate}, {"unit", unit},
                                   {"reference", reference}, {"fraction", reference > 0 ? rate / reference : 0}, {"toolkit", toolkit_}};
    fmt::print("{}\n", line.dump());
    std::fflush(stdout);
  }

  Queue& queue() { return queue_; }

 private:
  static constexpr size_t kFlush = size_t{256} << 20;
  Queue& queue_;
  std::string dtype_, toolkit_;
  void* flush_ = nullptr;
};

}  // namespace mome::bench
