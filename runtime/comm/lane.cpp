#include "runtime/comm/lane.h"

#include <chrono>
#include <utility>

namespace mome {
namespace {
using Clock = std::chrono::steady_clock;
double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }
}  // namespace

Lane::Lane(Communicator& communicator)
    : original_(communicator),
      communicator_(communicator.duplicate()), threaded_(communicator.device().is_host()) {
  if (threaded_) thread_ = std::thread([this] { work(); });
}

Lane::~Lane() {
  if (!threaded_) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

uint64_t Lane::post(Call call) {
  if (!threaded_) {
    communicator_->fork();
    call(*communicator_);
    return done_ = ++posted_;
  }
  std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
  changed_.notify_all();
  return ++posted_;
}

void Lane::wait(uint64_t ticket) {
  if (!threaded_) return communicator_->join();
  const auto begin = Clock::now();
  std::unique_lock lock(mutex_);
  original_.waiting([&] { changed_.wait(lock, [&] { return error_ || done_ >= ticket; }); });
  seconds_.waited += since(begin);
  if (error_) std::rethrow_exception(error_);
}

Lane::Seconds Lane::seconds() {
  std::lock_guard lock(mutex_);
  return std::exchange(seconds_, {});
}

void Lane::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !calls_.empty(); });
    if (calls_.empty()) return;
    const Call call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    const auto begin = Clock::now();
    std::exception_ptr error;
    try {
      call(*communicator_);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    seconds_.busy += since(begin);
    ++done_;
    if (error) {  // later calls would meet ranks that are not there
      error_ = error;
      calls_.clear();
      changed_.notify_all();
      return;
    }
    changed_.notify_all();
  }
}

}  // namespace mome
