#include "kernels/image/normalize.h"

#include "kernels/common/parallel.h"

namespace mome {

template <class T, class Queue>
void patches_from_images(Queue&, const uint8_t* images, int64_t batch, int size, int patch,
                         const Normalization& normalization, T* out) {
  T value[3][256];
  for (int c = 0; c < 3; ++c)
    for (int x = 0; x < 256; ++x)
      value[c][x] = T((x / 255.0 - normalization.mean[c]) / normalization.std[c]);
  const int64_t grid = size / patch, area = int64_t(patch) * patch;
  // One item is a band of `grid` patches: p whole pixel rows in, `grid` whole matrix rows out.
  parallel_chunks(batch * grid, 1, [&](int64_t begin, int64_t end) {
    for (int64_t band = begin; band < end; ++band) {
      const uint8_t* in = images + band * patch * size * 3;
      for (int64_t px = 0; px < grid; ++px) {
        T* to = out + (band * grid + px) * 3 * area;
        for (int ky = 0; ky < patch; ++ky) {
          const uint8_t* row = in + (int64_t(ky) * size + px * patch) * 3;
          T* plane = to + int64_t(ky) * patch;
          for (int kx = 0; kx < patch; ++kx)
            for (int c = 0; c < 3; ++c) plane[c * area + kx] = value[c][row[kx * 3 + c]];
        }
      }
    }
  });
}

template void patches_from_images<float>(Cpu&, const uint8_t*, int64_t, int, int,
                                         const Normalization&, float*);
template void patches_from_images<double>(Cpu&, const uint8_t*, int64_t, int, int,
                                          const Normalization&, double*);

}  // namespace mome
