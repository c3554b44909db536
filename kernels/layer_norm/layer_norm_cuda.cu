#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/layer_norm/norm_launch.cuh"

namespace mome {
namespace MOME_DEVICE {

template <class T>
void norm_forward(Queue& queue, const char* name, const NormForward<T>& a) {
  if (a.width <= 0) return;
  const auto launch = [&](auto kernel) {
    queue.launch(name, kernel, Dim{unsigned((a.rows + kNormWarps - 1) / kNormWarps)},
                 Dim{32 * kNormWarps}, 0, a);
  };
  if (a.width > kTile)
    launch(norm_forward_kernel<T, 1, false>);
  else if (a.width % kPack<T> == 0 && whole_packs(a.gamma, a.weight, a.bias, a.x, a.h, a.y, a.n))
    launch(norm_forward_kernel<T, kPack<T>, true>);
  else
    launch(norm_forward_kernel<T, 1, true>);
}

template <class T>
void norm_backward(Queue& queue, const char* name, NormBackward<T> a, float* dweight, float* dbias,
                   float* dgamma) {
  if (a.width <= 0 || a.rows <= 0) return;
  if (!a.dn) dweight = dbias = nullptr;
  a.sum_norm = dweight || dbias;
  a.sum_gamma = dgamma != nullptr;
  a.chunk = norm_chunk(a.rows);
  const bool summed = a.sum_norm || a.sum_gamma;
  const int64_t chunks = (a.rows + a.chunk - 1) / a.chunk;
  a.partials = summed ? static_cast<float*>(
                            queue.workspace(size_t(chunks) * kNormSums * a.width * sizeof(float)))
                      : nullptr;
  const auto launch = [&](auto kernel, int warps, int slots) {
    queue.launch(name, kernel, Dim{unsigned(chunks)}, Dim{unsigned(32 * warps)},
                 summed ? size_t(warps) * kNormSums * slots * 32 * sizeof(float) : 0, a);
  };
  const auto slots = [&](int n) { return (a.width + 32 * n - 1) / (32 * n) * n; };
  if (a.width > kTile)
    launch(norm_backward_kernel<T, 1, false>, 1, 0);
  else if (a.width % kPack<T> == 0 &&
           whole_packs(a.gamma, a.weight, a.h, a.y, a.dy, a.dn, a.dx, a.dh))
    launch(norm_backward_kernel<T, kPack<T>, true>, kNormWarps, slots(kPack<T>));
  else
    launch(norm_backward_kernel<T, 1, true>, kNormWarps, slots(1));
  if (summed)
    queue.launch("norm_sums", norm_sums_kernel<float>,
                 Dim{unsigned((a.width + 31) / 32), kNormSums}, Dim{32 * kFinishGroups}, 0, chunks,
                 a.width, a.partials, dweight, dbias, dgamma);
}

#define MOME_INSTANCE(T)                                                     \
  template void norm_forward<T>(Queue&, const char*, const NormForward<T>&); \
  template void norm_backward<T>(Queue&, const char*, NormBackward<T>, float*, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace MOME_DEVICE

template <class T, class Queue>
void layer_norm_forward(Queue& queue, int64_t rows, int64_t width, const T* x,
                        const Real<T>* weight, const Real<T>* bias, Real<T> eps, T* y,
                        Real<T>* mean, Real<T>* rstd) {
  MOME_DEVICE::NormForward<T> a{};
  a.rows = rows, a.width = int(width), a.weight = weight, a.bias = bias, a.eps = eps;
  a.x = x, a.n = y, a.mean = mean, a.rstd = rstd;
  MOME_DEVICE::norm_forward(queue, "layer_norm_forward", a);
}

template <class T, class Queue>
void layer_norm_backward(Queue& queue, int64_t rows, int64_t width, const T* x,
                         const Real<T>* weight, const Real<T>* mean, const Real<T>* rstd,
                         const T* dy, T* dx, bool accumulate, Real<T>* dweight, Real<T>* dbias) {
  MOME_DEVICE::NormBackward<T> a{};
  a.rows = rows, a.width = int(width), a.weight = weight;
  a.y = x, a.mean = mean, a.rstd = rstd, a.dy = accumulate ? dx : nullptr, a.dn = dy, a.dx = dx;
  MOME_DEVICE::norm_backward(queue, "layer_norm_backward", a, dweight, dbias,
                             static_cast<float*>(nullptr));
}

#define MOME_INSTANCE(T)                                                                       \
  template void layer_norm_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*,         \
                                      const float*, const float*, float, T*, float*, float*);  \
  template void layer_norm_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, const T*,        \
                                       const float*, const float*, const float*, const T*, T*, \
                                       bool, float*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
