// Native<T>: the tile type (mma.cuh) of the GPU that a kernel is compiled for, known in device code
// alone. A launcher names kernel<Native<half>, …>; the kernel works with Resolved<Native<half>>.
// Any other tile type resolves to itself. Void where the GPU cannot: bf16 before sm_80 (launchers
// refuse).
#pragma once
#include "kernels/arch/mma.cuh"
#include "kernels/arch/mma_fma.cuh"
#include "kernels/arch/mma_volta.cuh"

namespace mome::MOME_DEVICE {

template <class T>
struct Native {};

namespace native_detail {
template <class Tile>
struct Resolve {
  using type = Tile;
};
template <>
struct Resolve<Native<float>> {
  using type = Fma<float>;
};
template <class T>
struct Resolve<Native<T>> {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  using type = Ampere<T>;
#elif __CUDA_ARCH__ >= 750
  using type = std::conditional_t<std::is_same_v<T, half>, Turing<T>, void>;
#else
  using type = std::conditional_t<std::is_same_v<T, half>, Volta<T>, void>;
#endif
};
}  // namespace native_detail

template <class Tile>
using Resolved = typename native_detail::Resolve<Tile>::type;

}  // namespace mome::MOME_DEVICE
