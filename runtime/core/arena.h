// Memory for what lives no longer than a step. A range of address space is reserved once; blocks are
// handed out first-fit and may be given back early (backward frees as it walks). The same sequence of
// calls gives the same addresses, so every step of one shape runs at the same addresses (what a CUDA
// graph needs, and what keeps caches and page tables warm).
#pragma once
#include <cstddef>
#include <algorithm>
#include <map>

#include "runtime/core/device.h"

namespace mome {

class Arena {
 public:
  /// On the CPU `bytes` of address space are reserved; pages cost memory only once touched. On a GPU the memory is taken at
  /// once: by default all that is free but a margin. The simt device hands out each block apart, with red zones.
  explicit Arena(Device& device = Device::host(), size_t bytes = 0);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Uninitialised block, 256-byte aligned. Throws Error when the reservation is exhausted.
  void* allocate(size_t bytes);
  /// Gives back a block that allocate() returned.
  void release(void* block);
  /// Gives back everything.
  void reset();

  Tensor tensor(int64_t rows, int64_t cols, DType dtype);
  Tensor zeros(int64_t rows, int64_t cols, DType dtype);

  Device& device() const { return device_; }
  size_t in_use() const { return in_use_; }
  size_t peak() const { return peak_; }  // largest in_use() so far

 private:
  Device& device_;
  char* base_ = nullptr;
  size_t size_ = 0, in_use_ = 0, peak_ = 0;
  std::map<size_t, size_t> free_;  // offset -> bytes, coalesced
  std::map<size_t, size_t> used_;
};

}  // namespace mome
