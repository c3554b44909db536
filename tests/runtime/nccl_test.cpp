// The communicator over NCCL, on machines with GPUs: the contract with one rank, and with one rank
// on each GPU where there are several.
#include <gtest/gtest.h>

#if defined(MOME_WITH_NCCL)
#include <algorithm>
#include <thread>

#include "runtime/comm/nccl.h"
#include "tests/runtime/comm_contract.h"

namespace mome {
namespace {

void check_ranks(int ranks) {
  const std::string id = NcclCommunicator::new_identifier();
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      const auto device = Device::open(fmt::format("cuda:{}", r));
      NcclCommunicator communicator(*device, r, ranks, id);
      testing::check_contract(communicator);
    });
  for (std::thread& t : threads) t.join();
}

TEST(Nccl, OneRank) {
  if (cuda::device_count() < 1) GTEST_SKIP() << "there is no GPU on this machine";
  check_ranks(1);
}

TEST(Nccl, ARankOnEachGpu) {
  if (cuda::device_count() < 2) GTEST_SKIP() << "there are not several GPUs on this machine";
  check_ranks(std::min(cuda::device_count(), 4));
}

TEST(Nccl, AMissingRankIsAnError) {
  if (cuda::device_count() < 1) GTEST_SKIP() << "there is no GPU on this machine";
  const auto device = Device::open("cuda");
  try {
    NcclCommunicator communicator(*device, 0, 2, NcclCommunicator::new_identifier(), 2);
    FAIL() << "rank 1 was not there";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "ncclCommInitRankConfig: not done within 2 s: a rank is missing, or its network "
                 "is (rank 0 of 2)");
  }
}

TEST(Nccl, OtherDtypesAreRefused) {
  if (cuda::device_count() < 1) GTEST_SKIP() << "there is no GPU on this machine";
  const auto device = Device::open("cuda");
  NcclCommunicator communicator(*device, 0, 1, NcclCommunicator::new_identifier());
  testing::OnDevice<float> data(*device, 4);
  EXPECT_THROW(communicator.all_reduce(data.data(), 4, DType::kU8, Reduction::kSum),
               std::logic_error);
}

}  // namespace
}  // namespace mome
#else
TEST(Nccl, Absent) {
  GTEST_SKIP() << "this build has no NCCL (preset cuda, where NCCL is installed)";
}
#endif
