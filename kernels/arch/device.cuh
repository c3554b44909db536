// What every kernel source includes first. Under a CUDA compiler the language is CUDA's and MOME_DEVICE is the namespace
// `cuda`; under the host compiler it is the interpreter's (kernels/simt) and MOME_DEVICE is `simt`. Kernels stand in
// namespace mome::MOME_DEVICE, so that one program can hold both.
//
// Conventions that make one source serve both:
//  * launches go through Queue::launch (kernels/<device>/queue.h), never <<<>>>
//  * SHARED(T, name, n) and dynamic_shared<T>() instead of __shared__ and extern __shared__
//  * global memory is read and written by load()/store() below (checked and counted under simt; vectors of 16 bytes)
//  * PTX and __CUDA_ARCH__ stand in kernels/arch alone
#pragma once
#include <cstdint>

#include "kernels/common/half.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define MOME_DEVICE cuda
#define SHARED(T, name, count) __shared__ __align__(16) T name[count]
#else
#include "kernels/simt/language.h"
#define MOME_DEVICE simt
#endif

#include "kernels/common/queue.h"

namespace mome::MOME_DEVICE {

inline constexpr unsigned kFullMask = 0xffffffffu;

#if defined(__CUDACC__)
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char mome_dynamic_shared[];
  return reinterpret_cast<T*>(mome_dynamic_shared);
}
#define MOME_SITE
#define MOME_SITE_PASS
#define MOME_CHECK_GLOBAL(p, bytes, alignment, what)
#else
#define MOME_SITE , Site site = Site::current()
#define MOME_SITE_PASS , site
#define MOME_CHECK_GLOBAL(p, bytes, alignment, what) check_global(p, bytes, alignment, what, site)
#endif

/// N values that travel together: 16 bytes for the widest accesses. Aligned as a whole.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
  __device__ T& operator[](int i) { return v[i]; }
  __device__ const T& operator[](int i) const { return v[i]; }
};
/// Elements of T in 16 bytes.
template <class T>
inline constexpr int kPack = 16 / int(sizeof(T));

template <class T>
__device__ __forceinline__ T load(const T* p MOME_SITE) {
  MOME_CHECK_GLOBAL(p, sizeof(T), alignof(T), "load");
  return *p;
}
template <class T>
__device__ __forceinline__ void store(T* p, T v MOME_SITE) {
  MOME_CHECK_GLOBAL(p, sizeof(T), alignof(T), "store");
  *p = v;
}
/// load_pack<N>(p): p is aligned to the pack's size.
template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p MOME_SITE) {
  MOME_CHECK_GLOBAL(p, sizeof(T) * N, sizeof(T) * N, "load");
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& v MOME_SITE) {
  MOME_CHECK_GLOBAL(p, sizeof(T) * N, sizeof(T) * N, "store");
  *reinterpret_cast<Pack<T, N>*>(p) = v;
}

/// Sum, or greatest, over the lanes of a warp by butterflies: every lane gets it, in one fixed order.
template <class T>
__device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(kFullMask, v, step);
  return v;
}
template <class T>
__device__ __forceinline__ T warp_max(T v) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(kFullMask, v, step);
    v = other > v ? other : v;
  }
  return v;
}

}  // namespace mome::MOME_DEVICE
