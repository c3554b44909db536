#include <algorithm>

#include "kernels/attention/attention_backward.cuh"
#include "kernels/attention/attention_bias.cuh"
#include "kernels/attention/attention_launch.cuh"

namespace mome {
namespace {

/// Slices of sequences whose bias gradients add up apart: enough blocks for a GPU, at least 4 sequences each.
int64_t bias_slices(int64_t sequences) { return std::clamp<int64_t>(sequences / 4, 1, 16); }

}  // namespace

template <class T, class Queue>
void attention_backward(Queue& queue, const AttentionArgs<T>& a, const T* out, const T* dout, int64_t ldo, const Real<T>* lse, T* dq, T* dk, T* dv,
                        Real<T>* dbias) {
  using namespace MOME_DEVICE;
  if (a.sequences == 0 || a.heads == 0 || a.head_dim == 0) return;
  const bool packed = attention_packed(a, dout, ldo);
  const int64_t slices = dbias && a.bias ? bias_slices(a.sequences) : 0, per_slice = slices ? (a.sequences + slices - 1) / slices : 0;
  const int64_t deltas = a.sequences * a.heads * a.max_q, matrix = a.heads * a.bias_size * a.bias_size;
  auto* delta = static_cast<float*>(queue.workspace(size_t(std::max<int64_t>(1, deltas + slices * matrix)) * sizeof(float)));
  float* parts = delta + deltas;
  const unsigned sequences = unsigned(a.sequences), heads = unsigned(a.heads);
  const auto blocks = [](int64_t n, int64_t each) { return unsigned((n + each - 1) / each); };
  queue.launch("attention_delta", attention_delta_kernel<T>, Dim{sequences, heads, blocks(a.max_q, 4)}, Dim{128}, 0, a, out, dout, ldo, delta);
  on_tile<T>(queue, a, [&]<class Tile, int kD>() {
    using Shape = AttentionShape<T, kD>;
    constexpr int kRows = 2 * Shape::kOwn + 2 * Shape::kLoopBackward;
    queue.launch("attention_backward_kv", attention_backward_kv_kernel<Tile, kD, T>, Dim{sequences, heads, blocks(a.max_k, Shape::kOwn)},
                 Dim{Shape::kThreads}, attention_shared_bytes<T, kD>(kRows, 3 * Shape::kLoopBackward), a, packed, dout, ldo, lse, delta, dk, dv);
    queue.launch("attention_backward_q", attention_backward_q_kernel<Tile, kD, T>, Dim{sequences, heads, blocks(a.max_q, Shape::kOwn)},
                 Dim{Shape::kThreads}, attention_shared_bytes<T, kD>(kRows, 0), a, packed, dout, ldo, lse, delta, dq);
    if (!slices) return;
    const unsigned q_tiles = blocks(a.bias_size, Shape::kOwn), k_tiles = blocks(a.bias_size, Shape::kLoopBackward);
    queue.launch("attention_backward_bias", attention_backward_bias_kernel<Tile, kD, T>, Dim{q_tiles * k_tiles, heads, unsigned(slices)},
                 Dim{Shape::kThreads}, attention_shared_bytes<T, kD>(kRows, 4 * Shape::kOwn + 4), a, packed, dout, ldo, lse, delta, int(per_slice),
                 int(k_tiles), parts);
  });
  if (slices)
    queue.launch("attention_bias_slices", add_bias_slices_kernel, Dim{blocks(matrix, 256)}, Dim{256}, 0, matrix, int(slices), parts, dbias);
}

#define MOME_INSTANCE(T)                                                                                                                    \
  template void attention_backward<T>(MOME_DEVICE::Queue&, const AttentionArgs<T>&, const T*, const T*, int64_t, const float*, T*, T*, T*, \
                                      float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
