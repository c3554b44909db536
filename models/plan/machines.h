// GPUs that the plan knows, and what they are wired with.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/plan/network.h"

namespace mome {

enum class PlanDtype : uint8_t { kF32, kFp16, kBf16 };
/// "f32", "fp16" or "bf16"; UsageError for another word.
PlanDtype plan_dtype(const std::string& name);
inline double bytes_of(PlanDtype dtype) { return dtype == PlanDtype::kF32 ? 4 : 2; }

struct Gpu {
  std::string name;                 // "v100-32"
  std::vector<std::string> aliases; // "v100"
  std::string device;               // the driver's name of it
  double tensor_flops = 0;          // 16-bit products with float sums, dense, peak
  double tf32_flops = 0;            // 0: none
  double f32_flops = 0;
  double memory_rate = 0;           // bytes/s, peak
  double memory_gib = 0;
  int64_t multiprocessors = 0;
  bool bf16 = false;
  Link inside;   // between GPUs of a node: bus bandwidth as nccl-tests defines it
  Link outside;  // of a whole node to the others
};

const std::vector<Gpu>& known_gpus();
/// By name or alias, in either case. UsageError that lists the known ones.
const Gpu& gpu_named(const std::string& name);
/// By the driver's name, like "NVIDIA H100 80GB HBM3"; null if it is none of these: its peak is then unknown, not guessed.
const Gpu* gpu_of_device(const std::string& device);
/// Peak FLOP/s of products in that dtype; f32 without TF32. 0: the GPU has no such products.
double peak_flops(const Gpu& gpu, PlanDtype dtype);

}  // namespace mome
