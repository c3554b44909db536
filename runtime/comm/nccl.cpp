#include "runtime/comm/nccl.h"

#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

namespace mome {
namespace {

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return ncclFloat32;
    case DType::kF64:
      return ncclFloat64;
    case DType::kI64:
      return ncclInt64;
    default:
      throw std::logic_error("NCCL: reductions are for f32, f64 and i64");
  }
}

// All communicators of this process, for abort_all().
std::mutex alive_mutex;
std::set<ncclComm_t>& alive() {
  static std::set<ncclComm_t> comms;
  return comms;
}

std::atomic<bool> aborted = false;
// What was aborted is no longer there to be asked; the process is about to end.
void stop_if_aborted() {
  while (aborted) std::this_thread::sleep_for(std::chrono::seconds(1));
}

/// Device memory of a queue.
class Block {
 public:
  Block(cuda::Queue& queue, size_t bytes)
      : queue_(queue), data_(static_cast<char*>(queue.allocate(std::max<size_t>(bytes, 1)))) {}
  ~Block() { queue_.release(data_); }
  Block(const Block&) = delete;
  char* data() const { return data_; }

 private:
  cuda::Queue& queue_;
  char* data_;
};

}  // namespace

struct NcclCommunicator::Handle {
  ncclComm_t comm = nullptr;
};

std::string NcclCommunicator::new_identifier() {
  ncclUniqueId id;
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess)
    fail("ncclGetUniqueId: {}: {}", ncclGetErrorString(result), ncclGetLastError(nullptr));
  return std::string(id.internal, sizeof id.internal);
}

NcclCommunicator::NcclCommunicator(Device& device, int rank, int size,
                                   const std::string& identifier, double seconds,
                                   std::shared_ptr<void> launcher)
    : Communicator(device),
      rank_(rank),
      size_(size),
      seconds_(seconds),
      launcher_(std::move(launcher)),
      handle_(std::make_unique<Handle>()) {
  if (device.kind() != DeviceKind::kCuda) throw std::logic_error("NCCL is for the cuda device");
  ncclUniqueId id;
  MOME_CHECK(identifier.size() == sizeof id.internal);
  std::memcpy(id.internal, identifier.data(), sizeof id.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  queue().make_current();
  check(ncclCommInitRankConfig(&handle_->comm, size, id, rank, &config), "ncclCommInitRankConfig");
  {
    std::lock_guard lock(alive_mutex);
    alive().insert(handle_->comm);
  }
  word_ = queue().allocate(sizeof(int64_t));
  queue().fill(word_, 0, sizeof(int64_t));
  queue().synchronize();  // a duplicate's stream is another one
}

NcclCommunicator::~NcclCommunicator() {
  {
    std::lock_guard lock(alive_mutex);
    if (alive().erase(handle_->comm) == 0) return;  // aborted: the process is about to end
  }
  try {
    queue().make_current();
    if (std::uncaught_exceptions() > 0) {
      ncclCommAbort(handle_->comm);
    } else {
      wait_for_stream();
      check(ncclCommFinalize(handle_->comm), "ncclCommFinalize");
      ncclCommDestroy(handle_->comm);
    }
    queue().release(word_);
  } catch (const std::exception&) {  // a broken communicator: nothing is left to be done with it
    ncclCommAbort(handle_->comm);
  }
}

cuda::Queue& NcclCommunicator::queue() const { return own_ ? *own_ : device().cuda_queue(); }

// A call of a non-blocking communicator may still be under way when it returns.
void NcclCommunicator::check(int result, const char* call) const {
  using Clock = std::chrono::steady_clock;
  auto state = static_cast<ncclResult_t>(result);
  const auto begin = Clock::now();
  if (state == ncclSuccess || state == ncclInProgress) {
    while (handle_->comm) {
      stop_if_aborted();
      const ncclResult_t asked = ncclCommGetAsyncError(handle_->comm, &state);
      if (asked != ncclSuccess) state = asked;
      if (state != ncclInProgress) break;
      if (Clock::now() - begin > std::chrono::duration<double>(seconds_))
        fail("{}: not done within {:g} s: a rank is missing, or its network is (rank {} of {})",
             call, seconds_, rank_, size_);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  if (state != ncclSuccess) complain(state, call);
}

// Within a group: what the calls come to shows at its end.
void NcclCommunicator::check_queued(int result, const char* call) const {
  if (result != ncclSuccess && result != ncclInProgress) complain(result, call);
}

void NcclCommunicator::complain(int result, const char* call) const {
  const auto state = static_cast<ncclResult_t>(result);
  const char* last = ncclGetLastError(handle_->comm);
  fail("{}: {}{}{} (rank {} of {})", call, ncclGetErrorString(state), last && *last ? ": " : "",
       last ? last : "", rank_, size_);
}

// Unlike a synchronisation this sees an error of another rank, which ends no kernel that waits for
// it.
void NcclCommunicator::wait_for_stream() const {
  queue().make_current();
  while (true) {
    stop_if_aborted();
    const cudaError_t state = cudaStreamQuery(queue().stream());
    if (state == cudaSuccess) return;
    if (state != cudaErrorNotReady) cuda::check(state, "cudaStreamQuery");
    check(ncclSuccess, "a call on the stream");
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

void NcclCommunicator::all_reduce(void* data, int64_t count, DType dtype, Reduction op) {
  if (count == 0) return;
  queue().make_current();
  check(ncclAllReduce(data, data, size_t(count), type_of(dtype),
                      op == Reduction::kSum ? ncclSum : ncclMax, handle_->comm, queue().stream()),
        "ncclAllReduce");
}

void NcclCommunicator::reduce_scatter(const void* from, void* to, int64_t count, DType dtype) {
  if (count == 0) return;
  queue().make_current();
  check(ncclReduceScatter(from, to, size_t(count), type_of(dtype), ncclSum, handle_->comm,
                          queue().stream()),
        "ncclReduceScatter");
}

void NcclCommunicator::all_gather(const void* from, void* to, size_t bytes) {
  if (bytes == 0) return;
  queue().make_current();
  check(ncclAllGather(from, to, bytes, ncclUint8, handle_->comm, queue().stream()),
        "ncclAllGather");
}

void NcclCommunicator::all_gather_v(const void* from, void* to, std::span<const size_t> bytes) {
  MOME_CHECK(bytes.size() == size_t(size_));
  const size_t own = bytes[size_t(rank_)];
  char* part = static_cast<char*>(to);
  char* mine = std::accumulate(bytes.begin(), bytes.begin() + rank_, part);
  if (own > 0 && from != mine) queue().copy(mine, from, own);
  queue().make_current();
  check_queued(ncclGroupStart(), "ncclGroupStart");
  for (int r = 0; r < size_; part += bytes[size_t(r++)]) {
    if (r == rank_) continue;
    if (own > 0)
      check_queued(ncclSend(from, own, ncclUint8, r, handle_->comm, queue().stream()), "ncclSend");
    if (bytes[size_t(r)] > 0)
      check_queued(ncclRecv(part, bytes[size_t(r)], ncclUint8, r, handle_->comm, queue().stream()),
                   "ncclRecv");
  }
  check(ncclGroupEnd(), "ncclGroupEnd");
}

void NcclCommunicator::broadcast(void* data, size_t bytes, int root) {
  if (bytes == 0) return;
  queue().make_current();
  check(ncclBroadcast(data, data, bytes, ncclUint8, root, handle_->comm, queue().stream()),
        "ncclBroadcast");
}

void NcclCommunicator::exchange(std::span<const Message> sends, std::span<const Message> receives) {
  std::vector<Message> to_self;
  queue().make_current();
  for (const Message& m : sends)
    if (m.rank == rank_) to_self.push_back(m);
  auto next = to_self.begin();
  for (const Message& m : receives) {
    if (m.rank != rank_) continue;
    MOME_CHECK(next != to_self.end() && next->bytes == m.bytes);
    if (m.bytes > 0) queue().copy(m.data, next->data, m.bytes);
    ++next;
  }
  MOME_CHECK(next == to_self.end());
  check_queued(ncclGroupStart(), "ncclGroupStart");
  for (const Message& m : sends)
    if (m.rank != rank_ && m.bytes > 0)
      check_queued(ncclSend(m.data, m.bytes, ncclUint8, m.rank, handle_->comm, queue().stream()),
                   "ncclSend");
  for (const Message& m : receives)
    if (m.rank != rank_ && m.bytes > 0)
      check_queued(ncclRecv(m.data, m.bytes, ncclUint8, m.rank, handle_->comm, queue().stream()),
                   "ncclRecv");
  check(ncclGroupEnd(), "ncclGroupEnd");
}

void NcclCommunicator::barrier() {
  if (own_) device().synchronize();
  all_reduce(word_, 1, DType::kI64, Reduction::kSum);
  wait_for_stream();
}

// A new communicator of the same ranks; its identifier goes the way of this one.
std::unique_ptr<Communicator> NcclCommunicator::duplicate() {
  const std::string mine = rank_ == 0 ? new_identifier() : std::string();
  const auto all = gather_host(mine);
  auto twin = std::make_unique<NcclCommunicator>(
      device(), rank_, size_, std::string(all[0].begin(), all[0].end()), seconds_, launcher_);
  twin->own_ = std::make_unique<cuda::Queue>(device().cuda_queue().device());
  return twin;
}

void NcclCommunicator::fork() {
  if (own_) own_->wait(device().cuda_queue().record());
}
void NcclCommunicator::join() {
  if (own_) device().cuda_queue().wait(own_->record());
}

std::vector<std::vector<char>> NcclCommunicator::gather_host(std::span<const char> mine) {
  cuda::Queue& q = queue();
  const Block counts(q, size_t(size_) * sizeof(uint64_t));
  const uint64_t count = mine.size();
  char* own_count = counts.data() + size_t(rank_) * sizeof count;
  q.upload(own_count, &count, sizeof count);
  all_gather(own_count, counts.data(), sizeof count);
  wait_for_stream();
  std::vector<uint64_t> bytes64(static_cast<size_t>(size_));
  q.download(bytes64.data(), counts.data(), bytes64.size() * sizeof count);
  const std::vector<size_t> bytes(bytes64.begin(), bytes64.end());

  std::vector<char> all(std::accumulate(bytes.begin(), bytes.end(), size_t(0)));
  const Block parts(q, all.size());
  char* own = std::accumulate(bytes.begin(), bytes.begin() + rank_, parts.data());
  if (!mine.empty()) q.upload(own, mine.data(), mine.size());
  all_gather_v(own, parts.data(), bytes);
  wait_for_stream();
  if (!all.empty()) q.download(all.data(), parts.data(), all.size());
  std::vector<std::vector<char>> result;
  const char* p = all.data();
  for (size_t b : bytes) {
    result.emplace_back(p, p + b);
    p += b;
  }
  return result;
}

void NcclCommunicator::abort_all() noexcept {
  aborted = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // for those who ask just now
  std::lock_guard lock(alive_mutex);
  for (ncclComm_t comm : alive()) ncclCommAbort(comm);
  alive().clear();
}

}  // namespace mome
