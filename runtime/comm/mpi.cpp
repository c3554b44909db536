#include "runtime/comm/mpi.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>

namespace mome {
namespace {

std::string words(int error) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(error, text, &length) != MPI_SUCCESS) return fmt::format("error {}", error);
  return std::string(text, size_t(length));
}

MPI_Datatype type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return MPI_FLOAT;
    case DType::kF64:
      return MPI_DOUBLE;
    case DType::kI64:
      return MPI_INT64_T;
    default:
      throw std::logic_error("MPI: reductions are for f32, f64 and i64");
  }
}

// What a call reads of device memory, in host memory. The CPU's is passed on as it is.
class FromDevice {
 public:
  FromDevice(Device& device, const void* data, size_t bytes)
      : data_(static_cast<const char*>(data)) {
    if (device.is_host() || bytes == 0) return;
    copy_.resize(bytes);
    device.download(copy_.data(), data, bytes);
    data_ = copy_.data();
  }
  const char* data() const { return data_; }

 private:
  const char* data_;
  std::vector<char> copy_;
};

// What a call writes to device memory: deliver() brings it there. `load`: the call reads it, too.
class ToDevice {
 public:
  ToDevice(Device& device, void* data, size_t bytes, bool load = false)
      : device_(device), target_(static_cast<char*>(data)), bytes_(bytes) {
    if (device.is_host() || bytes == 0) return;
    copy_.resize(bytes);
    if (load) device.download(copy_.data(), data, bytes);
  }
  char* data() { return copy_.empty() ? target_ : copy_.data(); }
  void deliver() {
    if (!copy_.empty()) device_.upload(target_, copy_.data(), bytes_);
  }

 private:
  Device& device_;
  char* target_;
  size_t bytes_;
  std::vector<char> copy_;
};

// MPI may begin once in a process, and once only.
std::mutex open_mutex;
std::weak_ptr<MpiLibrary> open_library;

}  // namespace

std::shared_ptr<MpiLibrary> MpiLibrary::open() {
  std::lock_guard lock(open_mutex);
  std::shared_ptr<MpiLibrary> library = open_library.lock();
  if (!library) open_library = library = std::shared_ptr<MpiLibrary>(new MpiLibrary);
  return library;
}

MpiLibrary::MpiLibrary() {
  int ended = 0, provided = MPI_THREAD_SINGLE;
  MPI_Finalized(&ended);
  if (ended) fail("MPI: it was ended before in this process and cannot begin again");
  const int result = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  if (result != MPI_SUCCESS) fail("MPI_Init_thread: {}", words(result));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (provided != MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    fail(
        "MPI_Init_thread: rank {}: this MPI lacks MPI_THREAD_MULTIPLE (it provides level {} of "
        "{}); use one that was built with it, as Debian's OpenMPI is",
        rank_, provided, int(MPI_THREAD_MULTIPLE));
  }
}

MpiLibrary::~MpiLibrary() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

void MpiLibrary::broadcast(void* data, size_t bytes) const {
  const int result = MPI_Bcast(data, int(bytes), MPI_BYTE, 0, MPI_COMM_WORLD);
  if (result != MPI_SUCCESS) fail("MPI_Bcast: {} (rank {} of {})", words(result), rank_, size_);
}

void MpiLibrary::abort() {
  MPI_Abort(MPI_COMM_WORLD, 1);
  std::_Exit(1);
}

struct MpiCommunicator::Handle {
  MPI_Comm comm = MPI_COMM_NULL;
};

MpiCommunicator::MpiCommunicator(Device& device, int64_t largest)
    : Communicator(device),
      library_(MpiLibrary::open()),
      handle_(std::make_unique<Handle>()),
      largest_(largest) {
  check(MPI_Comm_dup(MPI_COMM_WORLD, &handle_->comm), "MPI_Comm_dup");  // with its error handler
}

MpiCommunicator::MpiCommunicator(const MpiCommunicator& original)
    : Communicator(original.device()),
      library_(original.library_),
      handle_(std::make_unique<Handle>()),
      largest_(original.largest_) {
  check(MPI_Comm_dup(original.handle_->comm, &handle_->comm), "MPI_Comm_dup");
}

MpiCommunicator::~MpiCommunicator() {
  // Collective, so not where this rank leaves alone.
  if (std::uncaught_exceptions() == 0 && handle_->comm != MPI_COMM_NULL)
    MPI_Comm_free(&handle_->comm);
}

void MpiCommunicator::check(int result, const char* call) const {
  if (result != MPI_SUCCESS) fail("{}: {} (rank {} of {})", call, words(result), rank(), size());
}

void MpiCommunicator::all_reduce(void* data, int64_t count, DType dtype, Reduction op) {
  const size_t unit = size_of(dtype);
  ToDevice host(device(), data, size_t(count) * unit, true);
  for (int64_t i = 0; i < count; i += largest_)
    check(MPI_Allreduce(MPI_IN_PLACE, host.data() + size_t(i) * unit,
                        int(std::min(largest_, count - i)), type_of(dtype),
                        op == Reduction::kSum ? MPI_SUM : MPI_MAX, handle_->comm),
          "MPI_Allreduce");
  host.deliver();
}

void MpiCommunicator::reduce_scatter(const void* from, void* to, int64_t count, DType dtype) {
  const size_t unit = size_of(dtype);
  const FromDevice in(device(), from, size_t(size() * count) * unit);
  // MPI has no form in which the result is this rank's part of the input, so it is always apart
  // from it.
  std::vector<char> sum(size_t(count) * unit);
  if (count == 0) {
  } else if (size() * count <= largest_) {
    check(MPI_Reduce_scatter_block(in.data(), sum.data(), int(count), type_of(dtype), MPI_SUM,
                                   handle_->comm),
          "MPI_Reduce_scatter_block");
  } else {
    for (int root = 0; root < size(); ++root)
      for (int64_t i = 0; i < count; i += largest_)
        check(MPI_Reduce(in.data() + size_t(root * count + i) * unit, sum.data() + size_t(i) * unit,
                         int(std::min(largest_, count - i)), type_of(dtype), MPI_SUM, root,
                         handle_->comm),
              "MPI_Reduce");
  }
  if (count > 0) device().upload(to, sum.data(), sum.size());
}

void MpiCommunicator::all_gather(const void* from, void* to, size_t bytes) {
  const size_t all = bytes * size_t(size());
  if (int64_t(all) > largest_)
    return all_gather_v(from, to, std::vector<size_t>(size_t(size()), bytes));
  if (bytes == 0) return;
  const FromDevice in(device(), from, bytes);
  ToDevice out(device(), to, all);
  const bool in_place = in.data() == out.data() + size_t(rank()) * bytes;
  check(MPI_Allgather(in_place ? MPI_IN_PLACE : in.data(), int(bytes), MPI_BYTE, out.data(),
                      int(bytes), MPI_BYTE, handle_->comm),
        "MPI_Allgather");
  out.deliver();
}

void MpiCommunicator::all_gather_v(const void* from, void* to, std::span<const size_t> bytes) {
  MOME_CHECK(bytes.size() == size_t(size()));
  const FromDevice in(device(), from, bytes[size_t(rank())]);
  ToDevice out(device(), to, std::accumulate(bytes.begin(), bytes.end(), size_t(0)));
  gather_parts(in.data(), out.data(), bytes);
  out.deliver();
}

// all_gather_v in host memory.
void MpiCommunicator::gather_parts(const void* from, char* to, std::span<const size_t> bytes) {
  const size_t all = std::accumulate(bytes.begin(), bytes.end(), size_t(0));
  char* mine = std::accumulate(bytes.begin(), bytes.begin() + rank(), to);
  if (from != mine && bytes[size_t(rank())] > 0) std::memmove(mine, from, bytes[size_t(rank())]);
  if (int64_t(all) > largest_) {
    for (int root = 0; root < size(); to += bytes[size_t(root++)])
      broadcast_host(to, bytes[size_t(root)], root);
    return;
  }
  std::vector<int> counts, offsets;
  int offset = 0;
  for (size_t b : bytes) {
    counts.push_back(int(b));
    offsets.push_back(offset);
    offset += int(b);
  }
  check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, to, counts.data(), offsets.data(), MPI_BYTE,
                       handle_->comm),
        "MPI_Allgatherv");
}

void MpiCommunicator::broadcast_host(char* data, size_t bytes, int root) {
  for (size_t i = 0; i < bytes; i += size_t(largest_))
    check(MPI_Bcast(data + i, int(std::min(size_t(largest_), bytes - i)), MPI_BYTE, root,
                    handle_->comm),
          "MPI_Bcast");
}

void MpiCommunicator::broadcast(void* data, size_t bytes, int root) {
  ToDevice host(device(), data, bytes, rank() == root);
  broadcast_host(host.data(), bytes, root);
  if (rank() != root) host.deliver();
}

// Both ends cut a message into the same pieces; MPI keeps the order of messages between two ranks.
void MpiCommunicator::exchange(std::span<const Message> sends, std::span<const Message> receives) {
  constexpr int kTag = 0;
  std::vector<FromDevice> out;
  std::vector<ToDevice> in;
  std::vector<MPI_Request> requests;
  std::vector<int> expected;  // bytes of a receive; -1: a send
  for (const Message& m : receives) {
    in.emplace_back(device(), m.data, m.bytes);
    for (size_t i = 0; i < m.bytes; i += size_t(largest_)) {
      expected.push_back(int(std::min(size_t(largest_), m.bytes - i)));
      check(MPI_Irecv(in.back().data() + i, expected.back(), MPI_BYTE, m.rank, kTag, handle_->comm,
                      &requests.emplace_back()),
            "MPI_Irecv");
    }
  }
  for (const Message& m : sends) {
    out.emplace_back(device(), m.data, m.bytes);
    for (size_t i = 0; i < m.bytes; i += size_t(largest_)) {
      expected.push_back(-1);
      check(MPI_Isend(out.back().data() + i, int(std::min(size_t(largest_), m.bytes - i)), MPI_BYTE,
                      m.rank, kTag, handle_->comm, &requests.emplace_back()),
            "MPI_Isend");
    }
  }
  std::vector<MPI_Status> statuses(requests.size());
  const int result = MPI_Waitall(int(requests.size()), requests.data(), statuses.data());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (result == MPI_ERR_IN_STATUS && statuses[i].MPI_ERROR != MPI_ERR_PENDING)
      check(statuses[i].MPI_ERROR, "MPI_Waitall");
    int bytes = 0;
    if (result == MPI_SUCCESS && expected[i] >= 0 &&
        MPI_Get_count(&statuses[i], MPI_BYTE, &bytes) == MPI_SUCCESS && bytes != expected[i])
      fail("MPI_Irecv: {} bytes came from rank {}; expected {} (rank {} of {})", bytes,
           statuses[i].MPI_SOURCE, expected[i], rank(), size());
  }
  check(result, "MPI_Waitall");
  for (ToDevice& m : in) m.deliver();
}

void MpiCommunicator::barrier() {
  device().synchronize();
  check(MPI_Barrier(handle_->comm), "MPI_Barrier");
}

std::unique_ptr<Communicator> MpiCommunicator::duplicate() {
  return std::unique_ptr<Communicator>(new MpiCommunicator(*this));
}

std::vector<std::vector<char>> MpiCommunicator::gather_host(std::span<const char> mine) {
  const uint64_t count = mine.size();
  std::vector<uint64_t> counts(size_t(size()), 0);
  check(MPI_Allgather(&count, 1, MPI_UINT64_T, counts.data(), 1, MPI_UINT64_T, handle_->comm),
        "MPI_Allgather");
  const std::vector<size_t> bytes(counts.begin(), counts.end());
  std::vector<char> all(std::accumulate(bytes.begin(), bytes.end(), size_t(0)));
  gather_parts(mine.data(), all.data(), bytes);
  std::vector<std::vector<char>> parts;
  const char* p = all.data();
  for (size_t b : bytes) {
    parts.emplace_back(p, p + b);
    p += b;
  }
  return parts;
}

}  // namespace mome
