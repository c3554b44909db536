// Launches of the norm kernels, shared by layer_norm and residual_norm; instances stand in
// layer_norm_cuda.cu.
#pragma once
#include "kernels/arch/queue.cuh"
#include "kernels/layer_norm/layer_norm.cuh"

namespace mome::MOME_DEVICE {

template <class T>
void norm_forward(Queue& queue, const char* name, const NormForward<T>& a);

/// Fills in what the launch decides: which sums, chunk, partials. Gradients are added to those that
/// are not null.
template <class T>
void norm_backward(Queue& queue, const char* name, NormBackward<T> a, float* dweight, float* dbias,
                   float* dgamma);

}  // namespace mome::MOME_DEVICE
