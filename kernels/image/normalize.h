// 8-bit images to the matrix that the patch embedding multiplies: normalisation and im2col in one
// pass (a Conv2d of kernel = stride = p is a product of this matrix and its flattened weight).
//
// Model, per element: 1 byte read, sizeof(T) written, one look-up (256 values a channel, in L1 or
// shared memory).
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// value = (pixel / 255 - mean[c]) / std[c]; the default is BEiT's and VLMo's (inception), range
/// [-1, 1].
struct Normalization {
  double mean[3] = {0.5, 0.5, 0.5};
  double std[3] = {0.5, 0.5, 0.5};
};

/// out[B * P, 3 * p * p] from images[B, S, S, 3] (RGB); B = batch, S = size, p = patch, P = (S /
/// p)^2. Patches run row by row; inside a patch the order is (c, ky, kx), the flatten order of a
/// Conv2d weight [D, 3, p, p]. p divides S. Each value is the formula in double, rounded to T (to
/// half and bf16 by way of float).
template <class T, class Queue>
void patches_from_images(Queue& queue, const uint8_t* images, int64_t batch, int size, int patch,
                         const Normalization& normalization, T* out);

}  // namespace mome
