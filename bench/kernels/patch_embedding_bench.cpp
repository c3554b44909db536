#include "bench/kernels/kernel_bench.h"
#include "kernels/patch_embedding/patch_embedding.h"

namespace mome::bench {
namespace {

struct Buffers {
  int64_t batch, patches, width;
  std::vector<float> proj, x, position, vectors, gradients;
  std::vector<uint8_t> masked;
  explicit Buffers(const benchmark::State& state)
      : batch(state.range(0)),
        patches(state.range(1)),
        width(state.range(2)),
        proj(numbers(batch * patches * width)),
        x(numbers(batch * (patches + 1) * width)),
        position(numbers((patches + 1) * width)),
        vectors(numbers(3 * width)),
        gradients(3 * width),
        masked(batch * patches) {
    for (size_t i = 0; i < masked.size(); i += 3) masked[i] = 1;
  }
};

// Pictures of 96, 128 and 224 pixels.
void shapes(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->ArgNames({"batch", "patches", "width"});
  b->Args({32, 36, 192})->Args({16, 64, 256})->Args({4, 196, 768});
}

void patch_embedding_forward_f32(benchmark::State& state) {
  Buffers s(state);
  const float* v = s.vectors.data();
  for (auto _ : state)
    patch_embedding_forward(cpu, s.batch, s.patches, s.width, s.proj.data(), s.masked.data(), v,
                            v + s.width, s.position.data(), v + 2 * s.width, s.x.data());
  set_bytes(state, 2.0 * sizeof(float) * s.x.size());
}
BENCHMARK(patch_embedding_forward_f32)->Apply(shapes);

void patch_embedding_backward_f32(benchmark::State& state) {
  Buffers s(state);
  float* g = s.gradients.data();
  for (auto _ : state)
    patch_embedding_backward(cpu, s.batch, s.patches, s.width, s.masked.data(), s.x.data(),
                             s.proj.data(), g, g + s.width, s.position.data(), g + 2 * s.width);
  set_bytes(state, 2.0 * sizeof(float) * s.x.size());
}
BENCHMARK(patch_embedding_backward_f32)->Apply(shapes);

}  // namespace
}  // namespace mome::bench
