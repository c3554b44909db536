#include "kernels/adamw/adamw.cuh"
#include "kernels/adamw/adamw.h"
#include "kernels/arch/queue.cuh"
#include "kernels/common/launch_shape.h"

namespace mome {
namespace {

unsigned slices(int64_t count) {
  return unsigned((count + MOME_DEVICE::kSlice - 1) / MOME_DEVICE::kSlice);
}

}  // namespace

template <class R, class Queue>
void squared_norm(Queue& queue, int64_t ranges, const AdamWRange* range, const R* g,
                  double* result) {
  using namespace MOME_DEVICE;
  const int64_t blocks = ranges * kSlices;
  double* partial = static_cast<double*>(queue.workspace(size_t(blocks) * sizeof(double)));
  queue.launch("squared_norm_partial",
               whole_packs(g) ? squared_norm_partial_kernel<4> : squared_norm_partial_kernel<1>,
               Dim{unsigned(blocks)}, Dim{kAdamWThreads}, 0, range, g, partial);
  queue.launch("squared_norm_total", squared_norm_total_kernel, Dim{1}, Dim{1024}, 0, blocks,
               partial, result);
}

template <class Queue>
void step_control(Queue& queue, const AdamWOptions& adamw, const ControlOptions& options,
                  StepControl* control) {
  using namespace MOME_DEVICE;
  queue.launch("step_control", step_control_kernel, Dim{1}, Dim{32}, 0, adamw, options, control);
}

template <class T, class Queue>
void adamw(Queue& queue, const AdamWOptions& options, const StepControl* control, int64_t ranges,
           const AdamWRange* range, Real<T>* w, const Real<T>* g, Real<T>* m, Real<T>* v, T* copy) {
  using namespace MOME_DEVICE;
  const bool packs = whole_packs(w, g, m, v) && aligned_packs<4>(copy);
  queue.launch("adamw", packs ? adamw_kernel<T, 4> : adamw_kernel<T, 1>,
               Dim{unsigned(ranges * kSlices)}, Dim{kAdamWThreads}, 0, options, control, range, w,
               g, m, v, copy);
}

template <class R, class Queue>
void moving_average(Queue& queue, int64_t count, double decay, const StepControl* control,
                    const R* w, R* average) {
  using namespace MOME_DEVICE;
  queue.launch("moving_average",
               whole_packs(w, average) ? moving_average_kernel<4> : moving_average_kernel<1>,
               Dim{slices(count)}, Dim{kAdamWThreads}, 0, count, float(decay), float(1 - decay),
               control, w, average);
}

template <class T, class Queue>
void round_copy(Queue& queue, int64_t count, const Real<T>* w, T* copy) {
  using namespace MOME_DEVICE;
  const bool packs = whole_packs(w) && aligned_packs<4>(copy);
  queue.launch("round_copy", packs ? round_copy_kernel<T, 4> : round_copy_kernel<T, 1>,
               Dim{slices(count)}, Dim{kAdamWThreads}, 0, count, w, copy);
}

using MOME_DEVICE::Queue;
#define MOME_INSTANCE(T)                                                           \
  template void adamw<T>(Queue&, const AdamWOptions&, const StepControl*, int64_t, \
                         const AdamWRange*, float*, const float*, float*, float*, T*);
MOME_INSTANCE(float)
MOME_INSTANCE(half)
MOME_INSTANCE(bf16)
#undef MOME_INSTANCE
template void round_copy<half>(Queue&, int64_t, const float*, half*);
template void round_copy<bf16>(Queue&, int64_t, const float*, bf16*);
template void squared_norm<float>(Queue&, int64_t, const AdamWRange*, const float*, double*);
template void moving_average<float>(Queue&, int64_t, double, const StepControl*, const float*,
                                    float*);
template void step_control(Queue&, const AdamWOptions&, const ControlOptions&, StepControl*);

}  // namespace mome
