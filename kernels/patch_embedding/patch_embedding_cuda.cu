#include "kernels/arch/queue.cuh"
#include "kernels/common/column_sum.cuh"
#include "kernels/common/launch_shape.h"
#include "kernels/patch_embedding/patch_embedding.cuh"
#include "kernels/patch_embedding/patch_embedding.h"

namespace mome {

namespace {
constexpr int kThreads = 128, kWide = 4;  // packs of kWide: 16 bytes of the vectors' floats
}

template <class T, class Queue>
void patch_embedding_forward(Queue& queue, int64_t batch, int64_t patches, int64_t width,
                             const T* proj, const uint8_t* masked, const Real<T>* mask_token,
                             const Real<T>* cls, const Real<T>* position, const Real<T>* type,
                             T* x) {
  using namespace MOME_DEVICE;
  if (width <= 0) return;
  const int64_t rows = batch * (patches + 1);
  const auto kernel = packable<kWide>(width, proj, mask_token, cls, position, type, x)
                          ? patch_embedding_forward_kernel<T, kWide>
                          : patch_embedding_forward_kernel<T, 1>;
  queue.launch("patch_embedding_forward", kernel, Dim{blocks_of(rows, kThreads / 32)}, {kThreads},
               0, rows, patches, width, proj, masked, mask_token, cls, position, type, x);
}

template <class T, class Queue>
void patch_embedding_backward(Queue& queue, int64_t batch, int64_t patches, int64_t width,
                              const uint8_t* masked, const T* dx, T* dproj, Real<T>* dmask_token,
                              Real<T>* dcls, Real<T>* dposition, Real<T>* dtype) {
  using namespace MOME_DEVICE;
  if (batch <= 0 || width <= 0) return;
  if (!masked || patches <= 0) dmask_token = nullptr;
  const int64_t tokens = patches + 1;
  const int64_t type_rows = dtype ? tokens : 0, mask_rows = dmask_token ? patches : 0;
  float* const parts =
      static_cast<float*>(queue.workspace(size_t((type_rows + mask_rows) * width) * sizeof(float)));
  float* const type_parts = dtype ? parts : nullptr;
  float* const mask_parts = dmask_token ? parts + type_rows * width : nullptr;
  const bool packs = packable<kWide>(width, dx, dproj, dcls, dposition);
  queue.launch(
      "patch_embedding_backward",
      packs ? patch_embedding_backward_kernel<T, kWide> : patch_embedding_backward_kernel<T, 1>,
      Dim{blocks_of(tokens, kThreads / 32), blocks_of(width, packs ? 32 * kWide : 32)}, {kThreads},
      0, batch, patches, width, masked, dx, dproj, dcls, dposition, type_parts, mask_parts);
  const auto add = [&](const char* name, int64_t rows, const float* part, float* to) {
    queue.launch(name, add_partials_kernel<float>, Dim{blocks_of(width, kSumThreads)},
                 {kSumThreads}, 0, rows, width, part, to);
  };
  if (dtype) add("patch_embedding_type", type_rows, type_parts, dtype);
  if (dmask_token) add("patch_embedding_mask_token", mask_rows, mask_parts, dmask_token);
}

#define MOME_INSTANCE(T)                                                                          \
  template void patch_embedding_forward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, int64_t,        \
                                           const T*, const uint8_t*, const float*, const float*,  \
                                           const float*, const float*, T*);                       \
  template void patch_embedding_backward<T>(MOME_DEVICE::Queue&, int64_t, int64_t, int64_t,       \
                                            const uint8_t*, const T*, T*, float*, float*, float*, \
                                            float*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE

}  // namespace mome
