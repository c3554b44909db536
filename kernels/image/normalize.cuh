// Patches of 8-bit images on the GPU.
#pragma once
#include "kernels/arch/device.cuh"

namespace mome::MOME_DEVICE {

/// The value of every byte in every channel; 3 KiB travel as a kernel's parameter.
struct PixelValues {
  float value[3][256];
};

/// A block owns a band of S / p patches: p whole pixel rows in, S / p whole matrix rows out. A
/// thread takes N pixels side by side: 3N bytes in as three packs, a pack out in each channel's
/// plane. The values are looked up in shared memory, where lanes that ask for different bytes need
/// not wait for one another (in constant memory they would). Bytes per element: 1 read, sizeof(T)
/// written: bound by memory.
template <class T, int N>
__global__ void patches_from_images_kernel(PixelValues values, const uint8_t* images, int size,
                                           int patch, T* out) {
  SHARED(float, value, 3 * 256);
  for (int i = threadIdx.x; i < 3 * 256; i += blockDim.x) value[i] = values.value[i / 256][i % 256];
  __syncthreads();
  const int area = patch * patch, grid = size / patch;
  images += int64_t(blockIdx.x) * patch * size * 3;
  out += int64_t(blockIdx.x) * grid * area * 3;
  for (int64_t i = int64_t(threadIdx.x) * N; i < int64_t(grid) * area; i += blockDim.x * N) {
    const int px = int(i / area), pixel = int(i % area), ky = pixel / patch, kx = pixel % patch;
    const uint8_t* from = images + (int64_t(ky) * size + px * patch + kx) * 3;
    T* to = out + int64_t(px) * 3 * area + pixel;
    uint8_t byte[3 * N];  // R G B R G B …
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      const Pack<uint8_t, N> p = load_pack<N>(from + k * N);
#pragma unroll
      for (int j = 0; j < N; ++j) byte[k * N + j] = p[j];
    }
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      Pack<T, N> p;
#pragma unroll
      for (int j = 0; j < N; ++j) p[j] = from_float<T>(value[c * 256 + byte[j * 3 + c]]);
      store_pack<N>(to + c * area, p);
    }
  }
}

}  // namespace mome::MOME_DEVICE
