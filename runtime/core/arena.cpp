#include "runtime/core/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace mome {

Arena::Arena(size_t bytes) {
  // Some machines limit address space (ulimit -v, containers): take what can be had, down to 1 GiB.
  for (size_ = bytes; size_ >= (size_t{1} << 30); size_ /= 2) {
    void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
      base_ = static_cast<char*>(p);
      break;
    }
  }
  if (!base_) fail("cannot reserve 1 GiB of address space for activations: {}", std::strerror(errno));
  reset();
}

Arena::~Arena() { munmap(base_, size_); }

void Arena::reset() {
  used_.clear();
  free_ = {{0, size_}};
  in_use_ = 0;
}

void* Arena::allocate(size_t bytes) {
  bytes = std::max<size_t>(64, (bytes + 63) / 64 * 64);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < bytes) continue;
    const size_t offset = it->first, left = it->second - bytes;
    free_.erase(it);
    if (left) free_[offset + bytes] = left;
    used_[offset] = bytes;
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    return base_ + offset;
  }
  fail("the step needs more memory than the {} MiB reserved for activations; use a smaller batch",
       size_ >> 20);
}

void Arena::release(void* block) {
  const size_t offset = size_t(static_cast<char*>(block) - base_);
  auto used = used_.find(offset);
  MOME_CHECK(used != used_.end());
  size_t begin = offset, bytes = used->second;
  in_use_ -= bytes;
  used_.erase(used);
  auto next = free_.lower_bound(begin);
  if (next != free_.end() && next->first == begin + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == begin) {
      before->second += bytes;
      return;
    }
  }
  free_[begin] = bytes;
}

Tensor Arena::tensor(int64_t rows, int64_t cols, DType dtype) {
  Tensor t{nullptr, rows, cols, dtype, Device::kCpu};
  t.data = allocate(t.bytes());
  return t;
}

Tensor Arena::zeros(int64_t rows, int64_t cols, DType dtype) {
  Tensor t = tensor(rows, cols, dtype);
  std::memset(t.data, 0, t.bytes());
  return t;
}

}  // namespace mome
