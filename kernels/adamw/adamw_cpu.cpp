// Model, per element of s bytes: adamw reads w, g, m, v and writes w, m, v, 7s bytes, 14 FLOPs with
// one square root and one division; squared_norm reads s, 2 FLOPs; moving_average reads and writes
// 3s, 3 FLOPs. Bound by memory: the only trick is one pass.
#include <cmath>
#include <vector>

#include "kernels/adamw/step_control.h"
#include "kernels/common/parallel.h"

namespace mome {
namespace {

// The inner loops take their operands by value: see kernels/common/column_reduce.h.
template <class T>
void update(int64_t n, AdamWRates<T> s, T* w, const T* g, T* m, T* v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T gi = g[i] * s.grad_scale;
    const T mi = s.b1 * m[i] + s.c1 * gi;
    const T vi = s.b2 * v[i] + s.c2 * gi * gi;
    const T stepped = w[i] - s.rate * (mi / (std::sqrt(vi) + s.eps));
    m[i] = mi;
    v[i] = vi;
    w[i] = stepped - s.decay * stepped;
  }
}

template <class T>
double sum_of_squares(int64_t n, const T* g) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += double(g[i]) * double(g[i]);
  return sum;
}

template <class T>
void average_run(int64_t n, T keep, T take, const T* w, T* average) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) average[i] = keep * average[i] + take * w[i];
}

}  // namespace

template <class R, class Queue>
void squared_norm(Queue&, int64_t ranges, const AdamWRange* range, const R* g, double* result) {
  static thread_local std::vector<double> scratch;
  scratch.resize(size_t(ranges));
  double* const partial = scratch.data();
  parallel_chunks(ranges, 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k)
      partial[k] = sum_of_squares(range[k].end - range[k].begin, g + range[k].begin);
  });
  double total = 0;
  for (int64_t k = 0; k < ranges; ++k) total += partial[k];
  *result = total;
}

template <class Queue>
void step_control(Queue&, const AdamWOptions& adamw, const ControlOptions& options,
                  StepControl* control) {
  update_control(adamw, options, *control);
}

template <class T, class Queue>
void adamw(Queue&, const AdamWOptions& options, const StepControl* control, int64_t ranges,
           const AdamWRange* range, Real<T>* w, const Real<T>* g, Real<T>* m, Real<T>* v, T*) {
  if (control->skip) return;
  parallel_chunks(ranges, 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const int64_t begin = range[k].begin;
      update(range[k].end - begin, rates_of<T>(options, *control, range[k]), w + begin, g + begin,
             m + begin + range[k].moments, v + begin + range[k].moments);
    }
  });
}

template <class R, class Queue>
void moving_average(Queue&, int64_t count, double decay, const StepControl* control, const R* w,
                    R* average) {
  if (control->skip) return;
  parallel_chunks(count, kAdamWRange, [&](int64_t begin, int64_t end) {
    average_run(end - begin, R(decay), R(1 - decay), w + begin, average + begin);
  });
}

#define MOME_INSTANTIATE(T)                                                           \
  template void adamw<T>(Cpu&, const AdamWOptions&, const StepControl*, int64_t,      \
                         const AdamWRange*, T*, const T*, T*, T*, T*);                \
  template void squared_norm<T>(Cpu&, int64_t, const AdamWRange*, const T*, double*); \
  template void moving_average<T>(Cpu&, int64_t, double, const StepControl*, const T*, T*);
MOME_INSTANTIATE(float)
MOME_INSTANTIATE(double)
#undef MOME_INSTANTIATE
template void step_control(Cpu&, const AdamWOptions&, const ControlOptions&, StepControl*);

}  // namespace mome
