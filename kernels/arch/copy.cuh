// Shared memory: checked vector accesses, asynchronous copies into it (cp.async), and ldmatrix,
// with their simt twins.
//
// The twins play what is easy to get wrong: a cp.async delivers only when its group is waited for, or at once;
// ldmatrix is a collective whose eight rows of a matrix are one pass over the banks; vectors of 16
// (8) bytes pass by quarters (halves) of a warp. Source: PTX ISA 8.7, "cp.async", "ldmatrix".
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

#if defined(__CUDACC__)
#define MOME_CHECK_SHARED(p, bytes, what)
#else
#define MOME_CHECK_SHARED(p, bytes, what) check_shared(p, bytes, what, site)

/// Bounds and alignment; counts the banks, one request for each pass that the width makes
/// necessary.
inline void check_shared(const void* p, size_t bytes, const char* what, Site site) {
  Thread& t = self();
  if (uintptr_t(p) % bytes)
    fault(std::string(what) + " of " + std::to_string(bytes) +
              " bytes of shared memory at an address that is not a multiple of it",
          site);
  if (!t.block->in_shared(p, bytes))
    fault(std::string(what) + " of " + std::to_string(bytes) +
              " bytes outside the block's shared memory",
          site);
  if (!t.block->launch().count) return;
  const uint32_t passes = bytes > 4 ? uint32_t(bytes) / 4 : 1;
  t.block->accesses().shared(t.warp, t.access + uint32_t(t.lane) / (32 / passes), p,
                             uint32_t(bytes));
  t.access += passes;
}
#endif

/// N elements of shared memory in one access; p is aligned to all of them.
template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_shared(const T* p MOME_SITE) {
  MOME_CHECK_SHARED(p, sizeof(T) * N, "load");
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
__device__ __forceinline__ void store_shared(T* p, const Pack<T, N>& v MOME_SITE) {
  MOME_CHECK_SHARED(p, sizeof(T) * N, "store");
  *reinterpret_cast<Pack<T, N>*>(p) = v;
}

#if defined(__CUDACC__)
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return uint32_t(__cvta_generic_to_shared(p));
}
#endif

/// Copies 16 bytes of global to shared memory; there only after commit_copies() and wait_copies().
/// Before sm_80: at once.
__device__ __forceinline__ void copy_async(void* to_shared, const void* from MOME_SITE) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_address(to_shared)),
               "l"(from)
               : "memory");
#elif defined(__CUDACC__)
  *static_cast<uint4*>(to_shared) = *static_cast<const uint4*>(from);
#else
  check_global(from, 16, 16, "cp.async", site);
  check_shared(to_shared, 16, "cp.async", site);
  // The copy may land at any time up to its wait: at the last moment, or (in half of the schedules) at once.
  if (self().block->early_copies()) std::memcpy(to_shared, from, 16);
  else self().copies.push_back({to_shared, from, 16});
#endif
}
/// Closes the group of this thread's copies since the last call.
__device__ __forceinline__ void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#elif !defined(__CUDACC__)
  Thread& t = self();
  t.groups.push_back(std::move(t.copies));
  t.copies.clear();
#endif
}
/// Waits until at most `kPending` of this thread's groups are under way. Other threads see the data
/// after a barrier.
template <int kPending>
#if defined(__CUDACC__)
__device__ __forceinline__ void wait_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
#endif
}
#else
void wait_copies(Site site = Site::current()) {
  Thread& t = self();
  if (t.block->left_out("cp.async.wait_group", site)) return;
  while (t.groups.size() > size_t(kPending)) {
    for (const Thread::PendingCopy& c : t.groups.front()) std::memcpy(c.to, c.from, c.bytes);
    t.groups.erase(t.groups.begin());
  }
}
#endif

/// Four 8x8 matrices of 16-bit elements: lane l names row l % 8 of matrix l / 8 (16 bytes,
/// aligned). Register j of lane l gets elements 2 (l % 4) and the next of row l / 4 of matrix j;
/// transposed: of column l / 4. From sm_75 on.
template <bool kTransposed>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row MOME_SITE) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
#elif defined(__CUDACC__)
  __trap();
#else
  Thread& t = self();
  check_shared(row, 16, "ldmatrix", site);
  // A copy of the row: a lane may go on and overwrite it before another lane has run.
  const std::byte* slots = t.block->exchange(~0u, row, 16, "ldmatrix", site);
  const int group = t.lane / 4, pair = 2 * (t.lane % 4);
  for (int j = 0; j < 4; ++j) {
    uint16_t two[2];
    for (int e = 0; e < 2; ++e) {
      const auto* matrix_row = reinterpret_cast<const uint16_t*>(
          slots + size_t(8 * j + (kTransposed ? pair + e : group)) * Block::kSlotBytes);
      two[e] = matrix_row[kTransposed ? group : pair + e];
    }
    r[j] = uint32_t(two[0]) | uint32_t(two[1]) << 16;
  }
#endif
}

}  // namespace mome::MOME_DEVICE
