#include "kernels/arch/queue.cuh"
#include "kernels/bias_gelu/bias_gelu.cuh"
#include "kernels/common/column_sum.cuh"
#include "kernels/common/launch_shape.h"

namespace mome {
namespace {

using namespace MOME_DEVICE;

template <Gelu kind, class T>
void forward(MOME_DEVICE::Queue& queue, int64_t rows, int64_t width, const T* a, const float* bias, T* out) {
  const auto run = [&]<int N>() {
    const int64_t packs = rows * width / N;
    queue.launch("bias_gelu_forward", bias_gelu_forward_kernel<kind, N, T>, Dim{blocks_of(packs, 256)}, Dim{256}, 0, packs, width, a, bias, out);
  };
  constexpr int N = kPack<T>;
  if (packable<N>(width, a, out)) run.template operator()<N>();
  else run.template operator()<1>();
}

template <Gelu kind, class T>
void backward(MOME_DEVICE::Queue& queue, int64_t rows, int64_t width, const T* a, const float* bias, const T* dout, T* da, float* dbias) {
  if (rows == 0 || width == 0) return;
  const int64_t chunk = sum_chunk(rows);
  const unsigned chunks = blocks_of(rows, chunk);
  auto* partials = dbias ? static_cast<float*>(queue.workspace(size_t(chunks) * size_t(width) * sizeof(float))) : nullptr;
  const auto run = [&]<int N>() {
    queue.launch("bias_gelu_backward", bias_gelu_backward_kernel<kind, N, T>, Dim{chunks, blocks_of(width, 64 * N)}, Dim{64}, 0, rows, width, chunk, a, bias,
                 dout, da, partials);
  };
  constexpr int N = kPack<T>;
  if (packable<N>(width, a, dout, da)) run.template operator()<N>();
  else run.template operator()<1>();
  if (dbias)
    queue.launch("bias_gelu_dbias", add_partials_kernel<float>, Dim{blocks_of(width, kSumThreads)}, Dim{kSumThreads}, 0, int64_t(chunks), width,
                 static_cast<const float*>(partials), dbias);
}

}  // namespace

template <class T, class Queue>
void bias_gelu_forward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a, const Real<T>* bias, T* out) {
  switch (kind) {
    case Gelu::kErf: return forward<Gelu::kErf>(queue, rows, width, a, bias, out);
    case Gelu::kTanh: return forward<Gelu::kTanh>(queue, rows, width, a, bias, out);
    case Gelu::kQuick: return forward<Gelu::kQuick>(queue, rows, width, a, bias, out);
  }
}

template <class T, class Queue>
void bias_gelu_backward(Queue& queue, Gelu kind, int64_t rows, int64_t width, const T* a, const Real<T>* bias, const T* dout, T* da, Real<T>* dbias) {
  switch (kind) {
    case Gelu::kErf: return backward<Gelu::kErf>(queue, rows, width, a, bias, dout, da, dbias);
    case Gelu::kTanh: return backward<Gelu::kTanh>(queue, rows, width, a, bias, dout, da, dbias);
    case Gelu::kQuick: return backward<Gelu::kQuick>(queue, rows, width, a, bias, dout, da, dbias);
  }
}

#define MOME_INSTANCE(T)                                                                                                         \
  template void bias_gelu_forward<T>(MOME_DEVICE::Queue&, Gelu, int64_t, int64_t, const T*, const float*, T*);                    \
  template void bias_gelu_backward<T>(MOME_DEVICE::Queue&, Gelu, int64_t, int64_t, const T*, const float*, const T*, T*, float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
