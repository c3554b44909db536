#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/image/normalize.cuh"
#include "kernels/image/normalize.h"

namespace mome {

namespace {
constexpr int kThreads = 256;
}

template <class T, class Queue>
void patches_from_images(Queue& queue, const uint8_t* images, int64_t batch, int size, int patch,
                         const Normalization& normalization, T* out) {
  using namespace MOME_DEVICE;
  PixelValues values;
  for (int c = 0; c < 3; ++c)
    for (int x = 0; x < 256; ++x)
      values.value[c][x] = float((x / 255.0 - normalization.mean[c]) / normalization.std[c]);
  // Rows of pixels and of a patch split into the same packs.
  const bool packs = packable<kPack<T>>(patch, images, out);
  queue.launch("patches_from_images",
               packs ? patches_from_images_kernel<T, kPack<T>> : patches_from_images_kernel<T, 1>,
               Dim{unsigned(batch * (size / patch))}, {kThreads}, 0, values, images, size, patch,
               out);
}

#define MOME_INSTANCE(T)                                                                       \
  template void patches_from_images<T>(MOME_DEVICE::Queue&, const uint8_t*, int64_t, int, int, \
                                       const Normalization&, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
