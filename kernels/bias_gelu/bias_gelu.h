// out = gelu(a + bias), the activation between the two layers of an expert (Hendrycks & Gimpel
// 2016).
//   erf:   u/2 * (1 + erf(u/sqrt 2))          the truth, BEiT and VLMo
//   tanh:  u/2 * (1 + tanh(sqrt(2/pi) (u + 0.044715 u^3)))
//   quick: u * sigmoid(1.702 u)               CLIP
#pragma once
#include <cstdint>

#include "kernels/common/queue.h"

namespace mome {

enum class Gelu : uint8_t { kErf, kTanh, kQuick };

/// a, out [R, F] (may alias), bias [F] or null.
template <class T, class Queue>
void bias_gelu_forward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a,
                       const Real<T>* bias, T* out);

/// da = dout * gelu'(a + bias) (da may alias dout); dbias [F], if not null, is added the column
/// sums.
template <class T, class Queue>
void bias_gelu_backward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a,
                        const Real<T>* bias, const T* dout, T* da, Real<T>* dbias);

}  // namespace mome
