// The shapes that `mome bench step` and `mome bench forward` know; bench/peer_pytorch.py has the
// same.
#pragma once
#include <string>

#include "models/mome/config.h"

namespace mome {

struct BenchModel {
  ModelConfig config;
  int64_t batch;  // sequences a training step, by default
};

/// "tiny" (4 layers, D 192, 96 px), "small" (6, 256, 128 px) or "base" (VLMo-Base, 224 px).
/// UsageError for another name.
BenchModel bench_model(const std::string& name);

}  // namespace mome
