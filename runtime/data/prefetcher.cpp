#include "runtime/data/prefetcher.h"

#include <omp.h>

#include <chrono>
#include <utility>

#include "runtime/core/error.h"

namespace mome {

Prefetcher::Prefetcher(int batch, int threads, int64_t first_step, Make make)
    : batch_(batch),
      make_(std::move(make)),
      wanted_(first_step),
      step_(first_step),
      end_(first_step + kSlots) {
  MOME_CHECK(batch >= 1 && threads >= 1 && first_step >= 0);
  for (Slot& slot : slots_) slot.left = batch;
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  room_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Prefetcher::work() {
  omp_set_num_threads(1);  // the workers are the parallelism: no team of threads in each
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [this] { return stop_ || step_ < end_; });
    if (stop_) return;
    const int64_t step = step_;
    const int i = sample_;
    if (++sample_ == batch_) {
      sample_ = 0;
      ++step_;
    }
    lock.unlock();
    std::exception_ptr error;
    try {
      make_(step, i, int(step % kSlots));
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    Slot& slot = slots_[step % kSlots];
    if (error && (!slot.error || i < slot.bad_sample)) {
      slot.error = error;
      slot.bad_sample = i;
    }
    if (--slot.left == 0) made_.notify_one();
  }
}

int64_t Prefetcher::next() {
  std::unique_lock lock(mutex_);
  if (!first_) {
    Slot& previous = slots_[(wanted_ - 1) % kSlots];
    if (previous.error) std::rethrow_exception(previous.error);
    previous.left = batch_;
    ++end_;
    room_.notify_all();
  }
  first_ = false;
  Slot& slot = slots_[wanted_ % kSlots];
  const auto made = [&slot] { return slot.left == 0; };
  if (!made()) {
    const auto start = std::chrono::steady_clock::now();
    made_.wait(lock, made);
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  ++wanted_;
  if (slot.error) std::rethrow_exception(slot.error);
  return wanted_ - 1;
}

}  // namespace mome
