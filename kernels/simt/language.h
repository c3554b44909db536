// The CUDA C++ that kernels are written in, for the host compiler: keywords, built-in variables, collectives, checked
// accesses. Included by kernels/arch/device.cuh when no CUDA compiler reads it. Semantics are CUDA's; what the hardware
// would leave undefined is a fault here.
#pragma once
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/simt/block.h"
#include "kernels/simt/memory.h"

// CUDA's own header first, where the program has the cuda device as well: the names below would tear its declarations.
#if defined(MOME_WITH_CUDA)
#include <cuda_runtime_api.h>
#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict

#define threadIdx (::mome::simt::self().index)
#define blockIdx (::mome::simt::self().block->index())
#define blockDim (::mome::simt::self().block->launch().block)
#define gridDim (::mome::simt::self().block->launch().grid)

namespace mome::simt {

inline void __syncthreads(Site site = Site::current()) { self().block->barrier(site); }

template <class T>
const T& slot(const std::byte* slots, int lane) {
  return *reinterpret_cast<const T*>(slots + size_t(lane) * Block::kSlotBytes);
}

inline void __syncwarp(uint32_t mask = ~0u, Site site = Site::current()) {
  if (self().block->launch().mutation && self().block->left_out("__syncwarp", site)) return;
  self().block->exchange(mask, nullptr, 0, "__syncwarp", site);
}
/// The value of lane `from` of each group of `width` lanes; a lane outside the mask gives what its register held: here a fault.
template <class T>
T shuffle(uint32_t mask, T value, int from, const char* primitive, Site site) {
  const std::byte* slots = self().block->exchange(mask, &value, sizeof(T), primitive, site);
  if (!(mask >> from & 1)) fault(std::string(primitive) + ": reads lane " + std::to_string(from) + ", which is not in the mask", site);
  return slot<T>(slots, from);
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, Site site = Site::current()) {
  return shuffle(mask, value, self().lane / width * width + (lane & (width - 1)), "__shfl_sync", site);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, Site site = Site::current()) {
  const int lane = self().lane, from = lane ^ lane_mask;
  return shuffle(mask, value, from / width > lane / width ? lane : from, "__shfl_xor_sync", site);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, Site site = Site::current()) {
  const int lane = self().lane, from = lane + int(delta);
  return shuffle(mask, value, from / width > lane / width ? lane : from, "__shfl_down_sync", site);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, Site site = Site::current()) {
  const int lane = self().lane, from = lane - int(delta);
  return shuffle(mask, value, from < lane / width * width ? lane : from, "__shfl_up_sync", site);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate, Site site = Site::current()) {
  const std::byte* slots = self().block->exchange(mask, &predicate, sizeof predicate, "__ballot_sync", site);
  uint32_t votes = 0;
  for (int l = 0; l < 32; ++l)
    if ((mask >> l & 1) && slot<int>(slots, l)) votes |= 1u << l;
  return votes;
}
inline int __any_sync(uint32_t mask, int predicate, Site site = Site::current()) { return __ballot_sync(mask, predicate, site) != 0; }
inline int __all_sync(uint32_t mask, int predicate, Site site = Site::current()) { return __ballot_sync(mask, predicate, site) == mask; }

// Integer atomics only: sums of floats in arrival order would not be deterministic, and no kernel uses them.
template <class T>
T atomicAdd(T* p, T v) {
  static_assert(std::is_integral_v<T>);
  return std::atomic_ref<T>(*p).fetch_add(v);
}
template <class T>
T atomicCAS(T* p, T expected, T desired) {
  std::atomic_ref<T>(*p).compare_exchange_strong(expected, desired);
  return expected;
}
template <class T>
T atomicMax(T* p, T v) {
  std::atomic_ref<T> a(*p);
  T old = a.load();
  while (old < v && !a.compare_exchange_weak(old, v)) {
  }
  return old;
}
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// Device mathematics. exp2f, expf and others are the host's own.
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t((uint64_t{a} * b) >> 32); }
inline int __popc(uint32_t x) { return std::popcount(x); }
inline int __ffs(uint32_t x) { return x ? std::countr_zero(x) + 1 : 0; }
inline int __clz(uint32_t x) { return std::countl_zero(x); }
using std::max;
using std::min;

/// Checks an access to global memory, and counts it.
inline void check_global(const void* p, size_t bytes, size_t alignment, const char* what, Site site) {
  if (uintptr_t(p) % alignment) fault(std::string(what) + " of " + std::to_string(bytes) + " bytes at an address that is not a multiple of " + std::to_string(alignment), site);
  if (!is_device_memory(p, bytes)) fault(std::string(what) + " of " + std::to_string(bytes) + " bytes outside every device block", site);
  Thread& t = self();
  if (t.block->launch().count) t.block->accesses().global(t.warp, t.lane, p, uint32_t(bytes), site);
}
inline void count_shared(const void* p, size_t bytes) {
  Thread& t = self();
  if (t.block->launch().count) t.block->accesses().shared(t.warp, t.access++, p, uint32_t(bytes));
}

/// A shared array: the elements, with the bounds checked and the banks counted.
template <class T>
class SharedArray {
 public:
  SharedArray(T* data, size_t count) : data_(data), count_(count) {}
  T& operator[](size_t i) const {
    if (i >= count_) fault("element " + std::to_string(int64_t(i)) + " of a shared array of " + std::to_string(count_), Site::current());
    count_shared(data_ + i, sizeof(T));
    return data_[i];
  }
  operator T*() const { return data_; }
  T* operator+(size_t i) const { return data_ + i; }

 private:
  T* data_;
  size_t count_;
};

template <class T>
SharedArray<T> dynamic_shared() {
  Block& b = *self().block;
  return {static_cast<T*>(b.dynamic_shared()), b.dynamic_bytes() / sizeof(T)};
}

}  // namespace mome::simt

/// A static shared array: SHARED(float, sums, 32). T without commas.
#define SHARED(T, name, count)                                                                  \
  const ::mome::simt::SharedArray<T> name(                                                      \
      static_cast<T*>(::mome::simt::self().block->shared([] { static char key; return static_cast<const void*>(&key); }(), \
                                                         sizeof(T) * (count), ::std::source_location::current())), (count))
