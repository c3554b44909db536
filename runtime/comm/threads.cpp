#include "runtime/comm/threads.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "runtime/core/error.h"

namespace mome {
namespace {

// What the ranks share. Duplicates have a room of their own, made by whichever rank asks first.
class Room {
 public:
  explicit Room(int size) : size_(size), shown_(size_t(size), nullptr) {}

  int size() const { return size_; }
  /// Shows `mine` to all, calls act(shown of all ranks), and returns when every rank's act is done.
  void meet(int rank, const void* mine, const std::function<void(std::span<const void* const>)>& act) {
    shown_[size_t(rank)] = mine;
    wait();
    act(shown_);
    wait();
  }
  void fail_all() {
    std::lock_guard lock(mutex_);
    failed_ = true;
    all_here_.notify_all();
    for (const auto& d : duplicates_) d->fail_all();
  }
  /// The k-th duplicate; the same one for every rank.
  std::shared_ptr<Room> duplicate(size_t k) {
    std::lock_guard lock(mutex_);
    while (duplicates_.size() <= k) duplicates_.push_back(std::make_shared<Room>(size_));
    return duplicates_[k];
  }

 private:
  void wait() {
    std::unique_lock lock(mutex_);
    const uint64_t meeting = meeting_;
    if (++here_ == size_) {
      here_ = 0;
      ++meeting_;
      all_here_.notify_all();
    }
    all_here_.wait(lock, [&] { return failed_ || meeting_ != meeting; });
    if (failed_) fail("another rank of this process failed");
  }

  const int size_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  int here_ = 0;
  uint64_t meeting_ = 0;
  bool failed_ = false;
  std::vector<const void*> shown_;
  std::vector<std::shared_ptr<Room>> duplicates_;
};

template <class T>
void fold(T* to, std::span<const T* const> from, int64_t count, Reduction op) {
  for (int64_t i = 0; i < count; ++i) {
    T v = from[0][i];
    for (size_t r = 1; r < from.size(); ++r) v = op == Reduction::kSum ? T(v + from[r][i]) : std::max(v, from[r][i]);
    to[i] = v;
  }
}

template <class F>
void on_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32: return f.template operator()<float>();
    case DType::kF64: return f.template operator()<double>();
    case DType::kI64: return f.template operator()<int64_t>();
    default: throw std::logic_error("reductions are of f32, f64 or i64");
  }
}

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(Device& device, std::shared_ptr<Room> room, int rank) : Communicator(device), room_(std::move(room)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return room_->size(); }

  void all_reduce(void* data, int64_t count, DType dtype, Reduction op) override {
    const std::vector<char> mine = bring(data, size_t(count) * size_of(dtype));
    std::vector<char> result(mine.size());
    meet(mine.data(), [&](const auto& all) { reduce(all, 0, count, dtype, op, result.data()); });
    device().upload(data, result.data(), result.size());
  }
  void reduce_scatter(const void* from, void* to, int64_t count, DType dtype) override {
    const std::vector<char> mine = bring(from, size_t(count * size()) * size_of(dtype));
    std::vector<char> result(size_t(count) * size_of(dtype));
    meet(mine.data(), [&](const auto& all) { reduce(all, rank_ * count, count, dtype, Reduction::kSum, result.data()); });
    device().upload(to, result.data(), result.size());
  }
  void all_gather(const void* from, void* to, size_t bytes) override {
    const std::vector<size_t> sizes(size_t(size()), bytes);
    all_gather_v(from, to, sizes);
  }
  void all_gather_v(const void* from, void* to, std::span<const size_t> bytes) override {
    const std::vector<char> mine = bring(from, bytes[size_t(rank_)]);
    meet(mine.data(), [&](const auto& all) {
      char* next = static_cast<char*>(to);
      for (size_t r = 0; r < bytes.size(); next += bytes[r++]) device().upload(next, all[r], bytes[r]);
    });
  }
  void broadcast(void* data, size_t bytes, int root) override {
    const std::vector<char> mine = bring(data, rank_ == root ? bytes : 0);
    meet(mine.data(), [&](const auto& all) {
      if (rank_ != root) device().upload(data, all[size_t(root)], bytes);
    });
  }
  void exchange(std::span<const Message> sends, std::span<const Message> receives) override {
    std::vector<Letter> letters;
    for (const Message& m : sends) letters.push_back({m.rank, bring(m.data, m.bytes)});
    meet(&letters, [&](const auto& all) {
      std::vector<size_t> next(all.size(), 0);  // of each sender: the first letter not looked at
      for (const Message& m : receives) {
        const auto& from = *static_cast<const std::vector<Letter>*>(all[size_t(m.rank)]);
        size_t& i = next[size_t(m.rank)];
        while (i < from.size() && from[i].to != rank_) ++i;
        if (i == from.size() || from[i].bytes.size() != m.bytes)
          fail("rank {} expects {} bytes from rank {}, which sends {}", rank_, m.bytes, m.rank,
               i == from.size() ? "nothing more" : std::to_string(from[i].bytes.size()));
        device().upload(m.data, from[i++].bytes.data(), m.bytes);
      }
    });
  }
  void barrier() override {
    device().synchronize();
    meet(nullptr, [](const auto&) {});
  }
  std::unique_ptr<Communicator> duplicate() override {
    return std::make_unique<ThreadCommunicator>(device(), room_->duplicate(duplicates_++), rank_);
  }
  std::vector<std::vector<char>> gather_host(std::span<const char> mine) override {
    std::vector<std::vector<char>> out(static_cast<size_t>(size()));
    meet(&mine, [&](const auto& all) {
      for (size_t r = 0; r < all.size(); ++r) {
        const auto& from = *static_cast<const std::span<const char>*>(all[r]);
        out[r].assign(from.begin(), from.end());
      }
    });
    return out;
  }

 private:
  struct Letter {
    int to;
    std::vector<char> bytes;
  };
  // Others may read it until the meeting ends, whatever becomes of the buffer meanwhile: results may go to the same place.
  std::vector<char> bring(const void* data, size_t bytes) {
    std::vector<char> copy(bytes);
    if (bytes) device().download(copy.data(), data, bytes);
    return copy;
  }
  void meet(const void* mine, const std::function<void(std::span<const void* const>)>& act) { room_->meet(rank_, mine, act); }
  static void reduce(std::span<const void* const> all, int64_t first, int64_t count, DType dtype, Reduction op, void* to) {
    on_type(dtype, [&]<class T>() {
      std::vector<const T*> parts;
      for (const void* p : all) parts.push_back(static_cast<const T*>(p) + first);
      fold<T>(static_cast<T*>(to), parts, count, op);
    });
  }

  std::shared_ptr<Room> room_;
  const int rank_;
  size_t duplicates_ = 0;
};

}  // namespace

void run_threads(int ranks, const std::function<Device&(int)>& device_of, const std::function<void(Communicator&)>& body) {
  MOME_CHECK(ranks >= 1);
  const auto room = std::make_shared<Room>(ranks);
  std::exception_ptr first;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      try {
        ThreadCommunicator communicator(device_of(r), room, r);
        body(communicator);
      } catch (...) {
        {
          std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
        room->fail_all();
      }
    });
  for (std::thread& t : threads) t.join();
  if (first) std::rethrow_exception(first);
}

void run_threads(int ranks, const std::function<void(Communicator&)>& body) {
  run_threads(ranks, [](int) -> Device& { return Device::host(); }, body);
}

}  // namespace mome
