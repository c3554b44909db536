// GPUs that the plan knows, and what they are wired with.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/plan/network.h"
#include "runtime/core/tensor.h"
#include "runtime/log/meter.h"

namespace mome {

/// "f32", "fp16" or "bf16"; UsageError for another word.
DType plan_dtype(const std::string& name);
/// The same words.
const char* name_of(DType dtype);

struct Gpu {
  std::string name;         // "v100-32"
  std::string alias;        // "v100"; may be empty
  std::string device;       // the driver's name of it
  double tensor_flops = 0;  // 16-bit products with float sums, dense, peak
  double tf32_flops = 0;    // 0: none
  double f32_flops = 0;
  double memory_rate = 0;  // bytes/s, peak
  double memory_gib = 0;
  int64_t multiprocessors = 0;
  bool bf16 = false;
  Link inside;   // between GPUs of a node: bus bandwidth as nccl-tests defines it
  Link outside;  // of a whole node to the others
};

const std::vector<Gpu>& known_gpus();
/// By name or alias, in either case. UsageError that lists the known ones.
const Gpu& gpu_named(const std::string& name);
/// By the driver's name, like "NVIDIA H100 80GB HBM3"; null if it is none of these: its peak is
/// then unknown, not guessed.
const Gpu* gpu_of_device(const std::string& device);
/// The peak that an MFU on this device is measured against (runtime/log/meter.h); none for a GPU
/// that is not known.
std::optional<Peak> device_peak(const std::string& device, DType dtype);
/// Peak FLOP/s of products in that dtype; f32 without TF32. 0: the GPU has no such products.
double peak_flops(const Gpu& gpu, DType dtype);

}  // namespace mome
