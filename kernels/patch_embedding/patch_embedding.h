// Assembles image tokens from projected patches (ViT, Dosovitskiy et al. 2021; BEiT's mask token):
//   x[b*(P+1) + 0]     = cls                                    + position[0]     + type
//   x[b*(P+1) + 1 + p] = (masked[b*P+p] ? mask_token : proj[b*P+p]) + position[1+p] + type
// position [P+1, D], masked [B*P] (0 or 1) and mask_token [D] may be null.
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

/// proj [B*P, D] and x are T; the vectors and the table of positions Real<T>.
template <class T, class Queue>
void patch_embedding_forward(Queue& queue, int64_t batch, int64_t patches, int64_t width,
                             const T* proj, const uint8_t* masked, const Real<T>* mask_token,
                             const Real<T>* cls, const Real<T>* position, const Real<T>* type,
                             T* x);

/// dproj [B*P, D] is assigned (0 at masked patches); dmask_token, dcls, dposition, dtype are added
/// to; each of the five may be null. dproj is not dx.
template <class T, class Queue>
void patch_embedding_backward(Queue& queue, int64_t batch, int64_t patches, int64_t width,
                              const uint8_t* masked, const T* dx, T* dproj, Real<T>* dmask_token,
                              Real<T>* dcls, Real<T>* dposition, Real<T>* dtype);

}  // namespace mome
