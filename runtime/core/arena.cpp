#include "runtime/core/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace mome {

Arena::Arena(Device& device, size_t bytes) : device_(device) {
  if (device.kind() == DeviceKind::kSimt) {
    size_ = 0;
  } else if (device.kind() == DeviceKind::kCuda) {
#if defined(MOME_WITH_CUDA)
    size_ = bytes ? bytes : device.cuda_queue().free_memory() / 64 * 63 / 64 * 64;
    base_ = static_cast<char*>(device.allocate(size_));
#endif
  } else {
    // Some machines limit address space (ulimit -v, containers): take what can be had, down to 1 GiB.
    for (size_ = bytes ? bytes : size_t{1} << 38; size_ >= (size_t{1} << 30); size_ /= 2) {
      void* p = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p != MAP_FAILED) {
        base_ = static_cast<char*>(p);
        break;
      }
    }
    if (!base_) fail("cannot reserve 1 GiB of address space for activations: {}", std::strerror(errno));
  }
  reset();
}

Arena::~Arena() {
  try {
    reset();
    if (!base_) return;
    if (device_.is_host()) munmap(base_, size_);
    else device_.release(base_);
  } catch (const std::exception&) {  // a fault of the device that whoever waited for it has seen
  }
}

void Arena::reset() {
  if (device_.kind() == DeviceKind::kSimt && !used_.empty()) {
    device_.synchronize();
    for (const auto& [address, bytes] : used_) device_.release(reinterpret_cast<void*>(address));
  }
  used_.clear();
  free_ = {{0, size_}};
  in_use_ = 0;
}

void* Arena::allocate(size_t bytes) {
  if (device_.kind() == DeviceKind::kSimt) {
    void* block = device_.allocate(bytes);
    used_[size_t(block)] = bytes;
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    return block;
  }
  bytes = std::max<size_t>(256, (bytes + 255) / 256 * 256);  // as cudaMalloc aligns
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
  fail("the step needs more memory: {} MiB more are wanted, {} of the {} MiB for activations are in use; use a smaller batch, or "
       "recompute = \"blocks\" in the stage", bytes >> 20, in_use_ >> 20, size_ >> 20);
}

void Arena::release(void* block) {
  const size_t offset = device_.kind() == DeviceKind::kSimt ? size_t(block) : size_t(static_cast<char*>(block) - base_);
  auto used = used_.find(offset);
  MOME_CHECK(used != used_.end());
  size_t begin = offset, bytes = used->second;
  in_use_ -= bytes;
  used_.erase(used);
  if (device_.kind() == DeviceKind::kSimt) {
    if (device_.simt_queue().options().lazy) device_.synchronize();
    return device_.release(block);
  }
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
  Tensor t{nullptr, rows, cols, dtype};
  t.data = allocate(t.bytes());
  return t;
}

Tensor Arena::zeros(int64_t rows, int64_t cols, DType dtype) {
  Tensor t = tensor(rows, cols, dtype);
  device_.zero(t.data, t.bytes());
  return t;
}

}  // namespace mome
