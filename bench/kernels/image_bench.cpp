// Image kernels on one thread (patches: on all). Bytes are the model of each kernel's header:
// source read and result written.
#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/image/affine.h"
#include "kernels/image/normalize.h"
#include "kernels/image/resize.h"

namespace mome {
namespace {

std::vector<uint8_t> picture(int64_t pixels) {
  std::vector<uint8_t> out(pixels * 3);
  for (size_t i = 0; i < out.size(); ++i) out[i] = uint8_t(i * 2654435761u >> 24);
  return out;
}

// Arguments: width, height of the source; side of the result. 640 x 480 -> 224 is COCO.
void resize(benchmark::State& state, ResizeFilter filter) {
  const int w = int(state.range(0)), h = int(state.range(1)), s = int(state.range(2));
  const std::vector<uint8_t> in = picture(int64_t{w} * h);
  std::vector<uint8_t> out(size_t(s) * s * 3);
  for (auto _ : state) {
    resize_rgb(in.data(), h, w, w * 3, {0, 0, float(w), float(h)}, filter, s, s, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * int64_t(in.size() + out.size()));
}
BENCHMARK_CAPTURE(resize, bicubic, ResizeFilter::kBicubic)
    ->Args({640, 480, 224})
    ->Args({640, 480, 480})
    ->Args({136, 128, 64})
    ->Args({100, 100, 224});
BENCHMARK_CAPTURE(resize, box, ResizeFilter::kBox)->Args({640, 480, 224})->Args({136, 128, 64});

// Argument: side.
void affine(benchmark::State& state) {
  const int s = int(state.range(0));
  const std::vector<uint8_t> in = picture(int64_t{s} * s);
  std::vector<uint8_t> out(in.size());
  const uint8_t fill[3] = {128, 128, 128};
  for (auto _ : state) {
    affine_warp(in.data(), s, s, {0.93, -0.36, 48, 0.36, 0.93, -32}, fill, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * int64_t(2 * in.size()));
}
BENCHMARK(affine)->Arg(64)->Arg(224);

// Arguments: batch, side, patch.
void patches(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const int size = int(state.range(1)), patch = int(state.range(2));
  const std::vector<uint8_t> in = picture(batch * size * size);
  std::vector<float> out(in.size());
  for (auto _ : state) {
    patches_from_images(cpu, in.data(), batch, size, patch, {}, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * int64_t(in.size()) * 5);
}
BENCHMARK(patches)->Args({128, 64, 16})->Args({32, 224, 16})->UseRealTime();

}  // namespace
}  // namespace mome
