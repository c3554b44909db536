#include "tools/bench_models.h"

#include "runtime/core/error.h"

namespace mome {

BenchModel bench_model(const std::string& name) {
  BenchModel m;
  ModelConfig& c = m.config;
  const auto set = [&](int64_t layers, int64_t width, int64_t heads, int64_t image, int64_t vl_from,
                       int64_t batch) {
    c.layers = layers, c.width = width, c.heads = heads, c.image_size = image, c.vl_from = vl_from;
    m.batch = batch;
  };
  if (name == "tiny")
    set(4, 192, 3, 96, 3, 32);
  else if (name == "small")
    set(6, 256, 4, 128, 5, 16);
  else if (name == "base")
    set(12, 768, 12, 224, 10, 4);
  else
    throw UsageError(fmt::format("--model {}: unknown; expected tiny, small or base", name));
  return m;
}

}  // namespace mome
