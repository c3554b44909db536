// The interpreter itself: what CUDA promises happens, what CUDA leaves undefined is reported with its place.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/arch/queue.cuh"
#include "kernels/simt/fault.h"

namespace mome::simt {
namespace {

template <class T>
struct Memory {
  T* p;
  size_t n;
  explicit Memory(size_t count) : p(static_cast<T*>(allocate(count * sizeof(T)))), n(count) {}
  ~Memory() { release(p); }
  std::vector<T> read(Queue& q) const {
    std::vector<T> v(n);
    q.download(v.data(), p, n * sizeof(T));
    return v;
  }
};

std::string fault_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Fault& e) {
    return e.what();
  }
  return "no fault";
}

// Each thread adds what its neighbour left in shared memory. `guarded`: with the barrier that this needs.
__global__ void neighbour(float* out, bool guarded) {
  SHARED(float, values, 256);
  values[threadIdx.x] = float(threadIdx.x);
  if (guarded) __syncthreads();
  const unsigned other = (threadIdx.x + 37) % blockDim.x;
  store(out + blockIdx.x * blockDim.x + threadIdx.x, values[other]);
}

TEST(Simt, BarrierMakesSharedMemoryVisible) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Queue q({.seed = seed});
    Memory<float> out(512);
    q.launch("neighbour", neighbour, {2}, {256}, 0, out.p, true);
    const auto v = out.read(q);
    for (int i = 0; i < 512; ++i) ASSERT_EQ(v[i], float((i + 37) % 256));
  }
}

TEST(Simt, MissingBarrierShowsAsNan) {
  int caught = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Queue q({.seed = seed});
    Memory<float> out(256);
    q.launch("neighbour", neighbour, {1}, {256}, 0, out.p, false);
    for (float v : out.read(q)) {
      if (std::isnan(v)) {
        ++caught;
        break;
      }
    }
  }
  EXPECT_GE(caught, 19);
}

// The same fault, made by the interpreter: the barrier is left out of a kernel that has it.
TEST(Simt, MutationLeavesABarrierOut) {
  Mutation mutation{.record = true};
  Queue record({.seed = 1, .mutation = &mutation});
  Memory<float> out(256);
  record.launch("neighbour", neighbour, {1}, {256}, 0, out.p, true);
  ASSERT_EQ(mutation.seen.size(), 1u);
  const SyncSite site = *mutation.seen.begin();
  EXPECT_EQ(site.primitive, "__syncthreads");
  Mutation skip{.skip = &site};
  Queue q({.seed = 1, .mutation = &skip});
  q.launch("neighbour", neighbour, {1}, {256}, 0, out.p, true);
  int poisoned = 0;
  for (float v : out.read(q)) poisoned += std::isnan(v);
  EXPECT_GT(poisoned, 0);
}

__global__ void collectives(int* sums, int* votes, float* rotated) {
  const int t = int(threadIdx.x), lane = t % 32;
  sums[t] = warp_sum(t);
  votes[t] = int(__ballot_sync(kFullMask, lane % 3 == 0));
  rotated[t] = __shfl_sync(kFullMask, float(t), (lane + 1) % 32);
  if (lane < 8) sums[t] += __shfl_xor_sync(0xffu, lane, 1);  // part of a warp
}

TEST(Simt, Collectives) {
  for (uint64_t seed : {0, 1, 2, 3, 4}) {
    Queue q({.seed = uint64_t(seed)});
    Memory<int> sums(64), votes(64);
    Memory<float> rotated(64);
    q.launch("collectives", collectives, {1}, {64}, 0, sums.p, votes.p, rotated.p);
    const auto s = sums.read(q), v = votes.read(q);
    const auto r = rotated.read(q);
    for (int t = 0; t < 64; ++t) {
      const int warp = t / 32, lane = t % 32;
      EXPECT_EQ(s[t], 496 + 1024 * warp + (lane < 8 ? lane ^ 1 : 0));
      EXPECT_EQ(uint32_t(v[t]), 0x49249249u);
      EXPECT_EQ(r[t], float(warp * 32 + (lane + 1) % 32));
    }
  }
}

__global__ void diverging_barrier() {
  if (threadIdx.x < 16) __syncthreads();
  else __syncwarp();
}
__global__ void two_barriers() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void half_a_shuffle(int* out) {
  if (threadIdx.x % 32 < 20) out[threadIdx.x] = __shfl_xor_sync(kFullMask, 1, 1);
}
__global__ void stray_load(const float* p, float* out) { store(out, load(p + threadIdx.x)); }
__global__ void misaligned(const float* p, float* out) { store(out, load_pack<4>(p + 1)[0]); }
__global__ void stray_shared() {
  SHARED(float, a, 8);
  a[threadIdx.x] = 0;
}

TEST(Simt, ReportsWhatCannotGoOn) {
  Queue q;
  Memory<int> ints(64);
  Memory<float> in(16), out(1);
  std::string text = fault_of([&] { q.launch("diverging", diverging_barrier, {1}, {32}, 0); });
  EXPECT_NE(text.find("no thread can run"), std::string::npos) << text;
  EXPECT_NE(text.find("thread (0,0,0) (warp 0, lane 0) -> __syncthreads -> "), std::string::npos) << text;
  EXPECT_NE(text.find("lane 20) -> __syncwarp -> "), std::string::npos) << text;
  EXPECT_NE(text.find("simt_block_test.cpp:"), std::string::npos) << text;
  text = fault_of([&] { q.launch("two", two_barriers, {1}, {32}, 0); });
  EXPECT_NE(text.find("other threads of the block wait at"), std::string::npos) << text;
  text = fault_of([&] { q.launch("half", half_a_shuffle, {1}, {64}, 0, ints.p); });
  EXPECT_NE(text.find("__shfl_xor_sync"), std::string::npos) << text;
  text = fault_of([&] { q.launch("stray", stray_load, {1}, {32}, 0, in.p, out.p); });
  EXPECT_NE(text.find("load of 4 bytes outside every device block"), std::string::npos) << text;
  text = fault_of([&] { q.launch("misaligned", misaligned, {1}, {1}, 0, in.p, out.p); });
  EXPECT_NE(text.find("not a multiple of 16"), std::string::npos) << text;
  text = fault_of([&] { q.launch("shared", stray_shared, {1}, {9}, 0); });
  EXPECT_NE(text.find("element 8 of a shared array of 8"), std::string::npos) << text;
  text = fault_of([&] { q.launch("wide", stray_shared, {1}, {1}, 1 << 20); });
  EXPECT_NE(text.find("bytes of shared memory"), std::string::npos) << text;
}

TEST(Simt, OverwrittenRedZoneIsFoundAtRelease) {
  auto* p = static_cast<char*>(allocate(10));
  p[10] = 0;
  EXPECT_NE(fault_of([&] { release(p); }).find("overwritten"), std::string::npos);
}

__global__ void add_one(int* p) { store(p + threadIdx.x, load(p + threadIdx.x) + 1); }

// A lazy queue runs nothing before it is asked to: the reader that waits for no event reads the poison.
TEST(Simt, LazyQueueShowsMissingDependency) {
  Queue a({.lazy = true}), b({.lazy = true});
  Memory<int> x(32), y(32);
  std::vector<int> start(32);
  std::iota(start.begin(), start.end(), 0);
  a.upload(x.p, start.data(), 128);
  a.launch("add_one", add_one, {1}, {32}, 0, x.p);
  b.copy(y.p, x.p, 128);  // no event: too early
  EXPECT_EQ(y.read(b)[5], -1);
  b.wait(a.record());
  b.copy(y.p, x.p, 128);
  EXPECT_EQ(y.read(b)[5], 6);
}

__global__ void strided(const float* p, float* out, int stride) {
  SHARED(float, s, 1024);
  s[threadIdx.x * stride] = load(p + threadIdx.x * stride);
  __syncthreads();
  store(out + threadIdx.x, s[threadIdx.x * stride]);
}

TEST(Simt, CountsSectorsAndBankConflicts) {
  reset_counters();
  Queue q({.count = true});
  Memory<float> in(1024), out(32);
  q.fill(in.p, 0, 4096);
  q.launch("dense", strided, {1}, {32}, 0, in.p, out.p, 1);
  q.launch("strided", strided, {1}, {32}, 0, in.p, out.p, 32);
  const Counters dense = counters()["dense"], far = counters()["strided"];
  EXPECT_EQ(dense.global_requests, 2);
  EXPECT_EQ(dense.global_sectors, 8);
  EXPECT_EQ(dense.ideal_sectors, 8);
  EXPECT_EQ(dense.shared_wavefronts, 2);
  EXPECT_EQ(far.global_sectors, 32 + 4);
  EXPECT_EQ(far.ideal_sectors, 8);
  EXPECT_EQ(far.shared_requests, 2);
  EXPECT_EQ(far.shared_wavefronts, 64);
  EXPECT_EQ(far.barriers, 1);
}

}  // namespace
}  // namespace mome::simt
