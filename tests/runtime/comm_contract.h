// What communicator.h promises, checked on any engine: every rank calls check_contract(its
// communicator). Every call is compared with values computed on each rank from all ranks' inputs,
// which are functions of (rank, index). Only EXPECT_: a rank that left early would leave the others
// waiting.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "kernels/common/philox.h"
#include "runtime/comm/communicator.h"

namespace mome::testing {

/// An array on a device, exactly as long as asked for (simt: an access beyond it is a fault).
template <class T>
class OnDevice {
 public:
  OnDevice(Device& device, const std::vector<T>& values) : OnDevice(device, values.size()) {
    if (!values.empty()) device.upload(data_, values.data(), count_ * sizeof(T));
  }
  OnDevice(Device& device, size_t count)
      : device_(device),
        count_(count),
        data_(static_cast<T*>(device.allocate(std::max<size_t>(1, count) * sizeof(T)))) {}
  ~OnDevice() {
    device_.synchronize();
    device_.release(data_);
  }
  OnDevice(const OnDevice&) = delete;
  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> host(count_);
    if (count_ > 0) device_.download(host.data(), data_, count_ * sizeof(T));
    return host;
  }

 private:
  Device& device_;
  size_t count_;
  T* data_;
};

template <class T>
std::vector<char> bytes_of(const std::vector<T>& values) {
  std::vector<char> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// Rank `rank`'s bytes of message number `message`.
inline std::vector<char> pattern(int rank, int message, size_t bytes) {
  std::vector<char> v(bytes);
  for (size_t i = 0; i < bytes; ++i)
    v[i] = static_cast<char>(31 * rank + 57 * message + 7 * i + i / 251);
  return v;
}

class Contract {
 public:
  explicit Contract(Communicator& comm)
      : comm_(comm), device_(comm.device()), rank_(comm.rank()), size_(comm.size()) {}

  void check() {
    EXPECT_GE(rank_, 0);
    EXPECT_LT(rank_, size_);
    // Nothing, one element, fewer than ranks, odd, and beyond the engines' changes of algorithm.
    for (int64_t count : {0, 1, 3, 64, 1021, 40009}) {
      SCOPED_TRACE(::testing::Message()
                   << "rank " << rank_ << " of " << size_ << ", count " << count);
      all_reduce<float>(count);
      all_reduce<double>(count);
      all_reduce<int64_t>(count);
      reduce_scatter<float>(count);
      reduce_scatter<double>(count);
      reduce_scatter<int64_t>(count);
      all_gather(static_cast<size_t>(count));
      broadcast(static_cast<size_t>(count));
    }
    SCOPED_TRACE(::testing::Message() << "rank " << rank_ << " of " << size_);
    all_gather_v();
    exchange();
    ring();
    gather_host();
    barrier();
    duplicate();
    if (device_.is_host()) beside();  // other devices' queues belong to one thread
  }

 private:
  template <class T>
  static T value(int rank, int64_t i, int stream) {
    if constexpr (std::is_integral_v<T>) {
      return (i * 7919 + stream) * (rank + 3) - 1'000'003 * rank * (i % 2 ? 1 : -1);
    } else {
      const uint64_t index = uint64_t(rank) << 24 | uint64_t(i);
      return T(RandomStream(11, uint64_t(stream), Purpose::kTest, index).normal());
    }
  }
  template <class T>
  static std::vector<T> values(int rank, int64_t count, int stream) {
    std::vector<T> v(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) v[size_t(i)] = value<T>(rank, i, stream);
    return v;
  }

  /// Elements [begin, begin + got.size()) of the sum over ranks: integers exactly; floating numbers
  /// to size - 1 roundings of partial sums, none of which is larger than the sum of magnitudes.
  template <class T>
  void expect_sum(const std::vector<T>& got, int64_t begin, int stream, const char* what) const {
    int64_t wrong = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      if constexpr (std::is_integral_v<T>) {
        T sum = 0;
        for (int r = 0; r < size_; ++r) sum += value<T>(r, begin + int64_t(i), stream);
        wrong += got[i] != sum;
      } else {
        long double sum = 0, magnitude = 0;
        for (int r = 0; r < size_; ++r) {
          const long double v = value<T>(r, begin + int64_t(i), stream);
          sum += v;
          magnitude += std::fabs(v);
        }
        wrong += !(std::fabs(got[i] - sum) <=
                   (size_ - 1) * magnitude * std::numeric_limits<T>::epsilon() / 2 * 1.0001L);
      }
    }
    EXPECT_EQ(wrong, 0) << what << ": wrong elements of " << got.size();
  }

  template <class T>
  void expect_same_on_all_ranks(const std::vector<T>& mine, const char* what) const {
    const std::vector<char> bytes = bytes_of(mine);
    for (const auto& theirs : comm_.gather_host(bytes))
      EXPECT_TRUE(theirs == bytes) << what << ": ranks differ";
  }

  template <class T>
  void all_reduce(int64_t count) {
    const std::vector<T> mine = values<T>(rank_, count, 1);
    std::vector<T> first;
    for (int run = 0; run < 2; ++run) {
      OnDevice<T> data(device_, mine);
      comm_.all_reduce(data.data(), count, dtype_of<T>());
      const std::vector<T> sum = data.read();
      expect_sum(sum, 0, 1, "all_reduce");
      expect_same_on_all_ranks(sum, "all_reduce");
      if (run == 0) first = sum;
      EXPECT_TRUE(bytes_of(sum) == bytes_of(first))
          << "all_reduce: the same values gave other bits";
    }
    OnDevice<T> data(device_, mine);
    comm_.all_reduce(data.data(), count, dtype_of<T>(), Reduction::kMax);
    std::vector<T> largest = mine;
    for (int r = 0; r < size_; ++r)
      for (int64_t i = 0; i < count; ++i)
        largest[size_t(i)] = std::max(largest[size_t(i)], value<T>(r, i, 1));
    EXPECT_TRUE(data.read() == largest) << "all_reduce: maximum";
  }

  template <class T>
  void reduce_scatter(int64_t count) {
    const std::vector<T> mine = values<T>(rank_, size_ * count, 2);
    OnDevice<T> from(device_, mine), to(device_, size_t(count)), again(device_, size_t(count));
    comm_.reduce_scatter(from.data(), to.data(), count, dtype_of<T>());
    comm_.reduce_scatter(from.data(), again.data(), count, dtype_of<T>());
    const std::vector<T> sum = to.read();
    expect_sum(sum, rank_ * count, 2, "reduce_scatter");
    EXPECT_TRUE(bytes_of(again.read()) == bytes_of(sum))
        << "reduce_scatter: the same values gave other bits";
    EXPECT_TRUE(from.read() == mine) << "reduce_scatter changed its input";
    comm_.reduce_scatter(from.data(), from.data() + rank_ * count, count, dtype_of<T>());
    const std::vector<T> whole = from.read();
    expect_sum(std::vector<T>(whole.begin() + rank_ * count, whole.begin() + (rank_ + 1) * count),
               rank_ * count, 2, "reduce_scatter in place");
  }

  std::vector<char> gathered(const std::vector<size_t>& bytes) const {
    std::vector<char> all;
    for (int r = 0; r < size_; ++r) {
      const std::vector<char> part = pattern(r, 0, bytes[size_t(r)]);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  void all_gather(size_t bytes) {
    const std::vector<char> expected = gathered(std::vector<size_t>(size_t(size_), bytes)),
                            mine = pattern(rank_, 0, bytes);
    OnDevice<char> from(device_, mine), to(device_, size_t(size_) * bytes);
    comm_.all_gather(from.data(), to.data(), bytes);
    EXPECT_TRUE(to.read() == expected) << "all_gather";
    std::vector<char> part(size_t(size_) * bytes, 'x');
    std::copy(mine.begin(), mine.end(), part.begin() + ptrdiff_t(size_t(rank_) * bytes));
    OnDevice<char> whole(device_, part);
    comm_.all_gather(whole.data() + size_t(rank_) * bytes, whole.data(), bytes);
    EXPECT_TRUE(whole.read() == expected) << "all_gather in place";
  }

  void all_gather_v() {
    for (int odd : {0, 1, 2}) {  // the ranks whose number has that remainder have nothing
      std::vector<size_t> bytes;
      for (int r = 0; r < size_; ++r) bytes.push_back(r % 3 == odd ? 0 : size_t(5 + 8191 * r));
      OnDevice<char> from(device_, pattern(rank_, 0, bytes[size_t(rank_)])),
          to(device_, std::accumulate(bytes.begin(), bytes.end(), size_t(0)));
      comm_.all_gather_v(from.data(), to.data(), bytes);
      EXPECT_TRUE(to.read() == gathered(bytes)) << "all_gather_v";
    }
  }

  void broadcast(size_t bytes) {
    for (int root = 0; root < size_; ++root) {
      OnDevice<char> data(device_,
                          rank_ == root ? pattern(root, 4, bytes) : std::vector<char>(bytes, 'x'));
      comm_.broadcast(data.data(), bytes, root);
      EXPECT_TRUE(data.read() == pattern(root, 4, bytes)) << "broadcast from " << root;
    }
  }

  // From every rank to every rank, itself included: a long, an empty and a short message. The
  // receiver lists the senders in the other direction.
  void exchange() {
    const auto bytes = [](int from, int to, int k) {
      return k == 1 ? size_t(0) : size_t(k == 0 ? 70001 + 13 * from + to : 3 + from + 2 * to);
    };
    std::vector<std::unique_ptr<OnDevice<char>>> memory;
    std::vector<Communicator::Message> sends, receives;
    for (int r = 0; r < size_; ++r)
      for (int k = 0; k < 3; ++k) {
        memory.push_back(std::make_unique<OnDevice<char>>(
            device_, pattern(rank_, 10 * r + k, bytes(rank_, r, k))));
        sends.push_back({r, memory.back()->data(), bytes(rank_, r, k)});
      }
    const size_t sent = memory.size();
    for (int r = size_ - 1; r >= 0; --r)
      for (int k = 0; k < 3; ++k) {
        memory.push_back(std::make_unique<OnDevice<char>>(device_, bytes(r, rank_, k)));
        receives.push_back({r, memory.back()->data(), bytes(r, rank_, k)});
      }
    comm_.exchange(sends, receives);
    for (size_t i = 0; i < receives.size(); ++i)
      EXPECT_TRUE(memory[sent + i]->read() ==
                  pattern(receives[i].rank, 10 * rank_ + int(i % 3), receives[i].bytes))
          << "exchange, from " << receives[i].rank << ", message " << i % 3;
    comm_.exchange({}, {});
  }

  // Not every rank talks to every other: each sends to the next one, the last to nobody.
  void ring() {
    OnDevice<float> mine(device_, std::vector<float>(9, float(rank_))),
        theirs(device_, std::vector<float>(9, -1.0f));
    std::vector<Communicator::Message> sends, receives;
    if (rank_ + 1 < size_) sends.push_back({rank_ + 1, mine.data(), 36});
    if (rank_ > 0) receives.push_back({rank_ - 1, theirs.data(), 36});
    comm_.exchange(sends, receives);
    EXPECT_TRUE(theirs.read() == std::vector<float>(9, float(rank_ - 1)))
        << "exchange with the next rank";
  }

  void gather_host() {
    const auto bytes = [](int r) { return r == 1 ? size_t(0) : size_t(1000 * r + 1); };
    const auto all = comm_.gather_host(pattern(rank_, 6, bytes(rank_)));
    EXPECT_EQ(all.size(), size_t(size_));
    for (size_t r = 0; r < all.size(); ++r)
      EXPECT_TRUE(all[r] == pattern(int(r), 6, bytes(int(r)))) << "gather_host: rank " << r;
    for (const auto& nothing : comm_.gather_host({})) EXPECT_TRUE(nothing.empty());
  }

  // On one host, whose ranks read one clock: nobody leaves before the last has come.
  void barrier() {
    using Clock = std::chrono::steady_clock;
    const auto now = [] { return std::vector<int64_t>{Clock::now().time_since_epoch().count()}; };
    for (int late = 0; late < std::min(size_, 2); ++late) {
      comm_.barrier();
      if (rank_ == late) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const auto came = now();
      comm_.barrier();
      const auto left = now();
      const auto extreme = [&](const std::vector<int64_t>& mine, bool last) {
        int64_t v = mine[0];
        for (const auto& bytes : comm_.gather_host(bytes_of(mine))) {
          int64_t theirs = 0;
          EXPECT_EQ(bytes.size(), sizeof theirs);
          std::memcpy(&theirs, bytes.data(), std::min(bytes.size(), sizeof theirs));
          v = last ? std::max(v, theirs) : std::min(v, theirs);
        }
        return v;
      };
      const int64_t last_came = extreme(came, true), first_left = extreme(left, false);
      EXPECT_LE(last_came, first_left) << "barrier: a rank left before rank " << late << " came";
    }
  }

  // Calls of a duplicate are not mistaken for its original's, and are ordered by fork() and join().
  void duplicate() {
    const int64_t count = 5003;
    std::unique_ptr<Communicator> twin = comm_.duplicate(), third = twin->duplicate();
    EXPECT_EQ(twin->rank(), rank_);
    EXPECT_EQ(twin->size(), size_);
    EXPECT_EQ(&twin->device(), &device_);
    for (int run = 0; run < 3; ++run) {
      OnDevice<float> a(device_, values<float>(rank_, count, 20)),
          b(device_, values<float>(rank_, count, 21)), c(device_, values<float>(rank_, count, 22)),
          copy(device_, size_t(count));
      twin->fork();
      third->fork();
      twin->all_reduce(a.data(), count, DType::kF32);
      comm_.all_reduce(b.data(), count, DType::kF32);
      third->all_reduce(c.data(), count, DType::kF32);
      twin->join();
      device_.copy(copy.data(), a.data(), size_t(count) * sizeof(float));
      third->join();
      expect_sum(copy.read(), 0, 20, "duplicate");
      expect_sum(b.read(), 0, 21, "original beside a duplicate");
      expect_sum(c.read(), 0, 22, "duplicate of a duplicate");
    }
    twin->barrier();
  }

  // A duplicate in a thread of its own, the original going on meanwhile.
  void beside() {
    const int64_t count = 2003;
    std::unique_ptr<Communicator> twin = comm_.duplicate();
    std::vector<float> theirs[8];
    for (int k = 0; k < 8; ++k) theirs[k] = values<float>(rank_, count, 30 + k);
    std::thread lane([&] {
      for (auto& data : theirs) twin->all_reduce(data.data(), count, DType::kF32);
    });
    std::vector<float> mine[8];
    for (int k = 0; k < 8; ++k) {
      mine[k] = values<float>(rank_, count, 40 + k);
      comm_.all_reduce(mine[k].data(), count, DType::kF32);
    }
    lane.join();
    for (int k = 0; k < 8; ++k) {
      expect_sum(theirs[k], 0, 30 + k, "in a lane");
      expect_sum(mine[k], 0, 40 + k, "beside a lane");
    }
  }

  Communicator& comm_;
  Device& device_;
  int rank_, size_;
};

/// Every call of `comm`, called on all ranks. Failures are this process's gtest failures.
inline void check_contract(Communicator& comm) { Contract(comm).check(); }

}  // namespace mome::testing
