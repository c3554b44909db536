#include "models/plan/machines.h"

#include <algorithm>
#include <cctype>

#include <fmt/ranges.h>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kTera = 1e12, kGiga = 1e9;
// Start of a message of a ring or tree: orders of magnitude of NCCL's own tuning tables (protocol LL128), as remembered; no measurement
// of these networks was at hand. They matter only where a step has become short.
constexpr double kInside = 2e-6, kOutside = 5e-6;
// A 400 Gb/s adapter carries 46 to 48 GB/s (nccl-tests issue 290): 0.94 of its line.
constexpr double adapter(double gigabits, int count) { return 0.94 * gigabits / 8 * count * kGiga; }

// Peaks, memory and multiprocessors: NVIDIA's data sheets (V100 SXM2, A100 SXM4, H100 SXM5, H200 SXM5, GA102 white paper), dense,
// 16-bit operands with float sums. Bus bandwidth inside a node of eight, large messages: V100 120 to 135 GB/s (six NVLinks of 25 GB/s
// make 150), A100 230 to 250, H100 about 370 by rings (nccl-tests issue 212), H200 475 where NVLink SHARP runs (issue 272; rings
// assumed here). Adapters of a node: DGX-1V 4 x 100 Gb/s, DGX A100 8 x 200, DGX H100 8 x 400; RTX 3090: PCIe 4 and one of 25 Gb/s, assumed.
std::vector<Gpu> table() {
  std::vector<Gpu> gpus;
  const auto add = [&](Gpu g) { gpus.push_back(std::move(g)); };
  const Link v100{125 * kGiga, kInside}, a100{235 * kGiga, kInside}, h100{370 * kGiga, kInside};
  const Link infiniband_4x100{adapter(100, 4), kOutside}, infiniband_8x200{adapter(200, 8), kOutside}, infiniband_8x400{adapter(400, 8), kOutside};
  add({"v100-16", {}, "Tesla V100-SXM2-16GB", 125 * kTera, 0, 15.7 * kTera, 900 * kGiga, 16, 80, false, v100, infiniband_4x100});
  add({"v100-32", {"v100"}, "Tesla V100-SXM2-32GB", 125 * kTera, 0, 15.7 * kTera, 900 * kGiga, 32, 80, false, v100, infiniband_4x100});
  add({"a100-40", {"a100"}, "NVIDIA A100-SXM4-40GB", 312 * kTera, 156 * kTera, 19.5 * kTera, 1555 * kGiga, 40, 108, true, a100, infiniband_8x200});
  add({"a100-80", {}, "NVIDIA A100-SXM4-80GB", 312 * kTera, 156 * kTera, 19.5 * kTera, 2039 * kGiga, 80, 108, true, a100, infiniband_8x200});
  add({"h100", {"h100-80"}, "NVIDIA H100 80GB HBM3", 989 * kTera, 494 * kTera, 67 * kTera, 3350 * kGiga, 80, 132, true, h100, infiniband_8x400});
  add({"h200", {}, "NVIDIA H200", 989 * kTera, 494 * kTera, 67 * kTera, 4800 * kGiga, 140, 132, true, h100, infiniband_8x400});
  add({"rtx3090", {}, "NVIDIA GeForce RTX 3090", 71 * kTera, 35.6 * kTera, 35.6 * kTera, 936 * kGiga, 24, 82, true, {12 * kGiga, kInside},
       {adapter(25, 1), kOutside}});
  return gpus;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

}  // namespace

PlanDtype plan_dtype(const std::string& name) {
  if (name == "f32") return PlanDtype::kF32;
  if (name == "fp16") return PlanDtype::kFp16;
  if (name == "bf16") return PlanDtype::kBf16;
  throw UsageError(fmt::format("--dtype {}: expected f32, fp16 or bf16", name));
}

const std::vector<Gpu>& known_gpus() {
  static const std::vector<Gpu> gpus = table();
  return gpus;
}

const Gpu& gpu_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Gpu& g : known_gpus()) {
    if (g.name == lower(name)) return g;
    std::string label = g.name;
    for (const std::string& alias : g.aliases) {
      if (alias == lower(name)) return g;
      label += fmt::format(" ({})", alias);
    }
    names.push_back(label);
  }
  throw UsageError(fmt::format("--gpu {}: unknown; known are {}", name, fmt::join(names, ", ")));
}

const Gpu* gpu_of_device(const std::string& device) {
  for (const Gpu& g : known_gpus())
    if (device == g.device) return &g;  // whole names: "NVIDIA H200 NVL" and "… RTX 3090 Ti" are other boards
  return nullptr;
}

double peak_flops(const Gpu& gpu, PlanDtype dtype) {
  if (dtype == PlanDtype::kF32) return gpu.f32_flops;
  return dtype == PlanDtype::kBf16 && !gpu.bf16 ? 0 : gpu.tensor_flops;
}

}  // namespace mome
