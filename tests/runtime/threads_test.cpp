// Ranks as threads of one process, and calls beside computation.
#include "runtime/comm/threads.h"

#include <atomic>

#include "runtime/comm/lane.h"
#include "runtime/core/error.h"
#include "tests/runtime/comm_contract.h"

namespace mome {
namespace {

TEST(Threads, KeepTheContract) {
  for (const int ranks : {1, 2, 4, 5}) run_threads(ranks, [](Communicator& c) { testing::check_contract(c); });
}

TEST(Threads, KeepTheContractOnDevicesThatHoldWorkBack) {
  std::vector<std::unique_ptr<Device>> devices;
  for (int r = 0; r < 3; ++r) {
    simt::Options options;
    options.lazy = true;
    devices.push_back(Device::simt(options));
  }
  run_threads(3, [&](int r) -> Device& { return *devices[size_t(r)]; }, [](Communicator& c) { testing::check_contract(c); });
}

TEST(Threads, ARankThatFailsEndsAll) {
  std::atomic<int> ended = 0;
  try {
    run_threads(3, [&](Communicator& c) {
      struct Count {
        std::atomic<int>& n;
        ~Count() { ++n; }
      } count{ended};
      if (c.rank() == 1) fail("rank 1 cannot");
      c.barrier();
      ADD_FAILURE() << "the barrier was passed without rank 1";
    });
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "rank 1 cannot");
  }
  EXPECT_EQ(ended, 3);
}

TEST(Lane, CallsRunInOrderBesideTheCaller) {
  run_threads(2, [](Communicator& c) {
    Lane lane(c);
    std::vector<double> sums(50);
    std::atomic<bool> go = false;
    lane.post([&](Communicator&) {
      while (!go) std::this_thread::yield();  // would hang if post() did not return before the call
    });
    uint64_t last = 0;
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] = double(i) + (i > 0 ? 0 : 1);
      last = lane.post([&sums, i](Communicator& d) {
        if (i > 0) sums[i] += sums[i - 1];  // the sum of the call before
        d.all_reduce(&sums[i], 1, DType::kF64);
      });
    }
    c.barrier();  // the lane's calls and the caller's do not meet
    go = true;
    lane.wait(last);
    double want = 2;
    for (size_t i = 1; i < sums.size(); ++i) want = 2 * (double(i) + want);
    EXPECT_EQ(sums.back(), want);
    const Lane::Seconds s = lane.seconds();
    EXPECT_GT(s.busy, 0);
    EXPECT_EQ(lane.seconds().busy, 0);
  });
}

TEST(Lane, ErrorsReachWhoWaits) {
  run_threads(1, [](Communicator& c) {
    Lane lane(c);
    lane.post([](Communicator&) { fail("this call cannot"); });
    EXPECT_THROW(lane.wait_all(), Error);
    const uint64_t later = lane.post([](Communicator&) { ADD_FAILURE() << "a call after an error was made"; });
    EXPECT_THROW(lane.wait(later), Error);
  });
}

}  // namespace
}  // namespace mome
