#include "models/plan/machines.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kTera = 1e12, kGiga = 1e9;
// Start of a message of a ring or tree: orders of magnitude of NCCL's own tuning tables (protocol
// LL128), as remembered; no measurement of these networks was at hand. They matter only where a
// step has become short.
constexpr double kInside = 2e-6, kOutside = 5e-6;
// A 400 Gb/s adapter carries 46 to 48 GB/s (nccl-tests issue 290): 0.94 of its line.
constexpr double adapter(double gigabits, int count) { return 0.94 * gigabits / 8 * count; }

// Peaks, memory and multiprocessors: NVIDIA's data sheets (V100 SXM2, A100 SXM4, H100 SXM5, H200
// SXM5, GA102 white paper), dense, 16-bit operands with float sums. Bus bandwidth inside a node of
// eight, large messages: V100 120 to 135 GB/s (six NVLinks of 25 GB/s make 150), A100 230 to 250,
// H100 about 370 by rings (nccl-tests issue 212), H200 475 where NVLink SHARP runs (issue 272;
// rings assumed here). Adapters of a node: DGX-1V 4 x 100 Gb/s, DGX A100 8 x 200, DGX H100 8 x 400;
// RTX 3090: PCIe 4 and one of 25 Gb/s, assumed.
struct Row {
  const char *name, *alias, *device;
  double tensor, tf32, f32;  // TFLOP/s
  double memory_rate, gib;   // GB/s, GiB
  int64_t multiprocessors;
  bool bf16;
  double inside, outside;  // GB/s
};
// clang-format off
constexpr Row kRows[] = {
    {"v100-16", "",         "Tesla V100-SXM2-16GB",    125,   0, 15.7,  900,  16,  80, false, 125, adapter(100, 4)},
    {"v100-32", "v100",     "Tesla V100-SXM2-32GB",    125,   0, 15.7,  900,  32,  80, false, 125, adapter(100, 4)},
    {"a100-40", "a100",     "NVIDIA A100-SXM4-40GB",   312, 156, 19.5, 1555,  40, 108, true,  235, adapter(200, 8)},
    {"a100-80", "",         "NVIDIA A100-SXM4-80GB",   312, 156, 19.5, 2039,  80, 108, true,  235, adapter(200, 8)},
    {"h100",    "h100-80",  "NVIDIA H100 80GB HBM3",   989, 494, 67,   3350,  80, 132, true,  370, adapter(400, 8)},
    {"h200",    "",         "NVIDIA H200",             989, 494, 67,   4800, 140, 132, true,  370, adapter(400, 8)},
    {"rtx3090", "",         "NVIDIA GeForce RTX 3090",  71, 35.6, 35.6, 936,  24,  82, true,   12, adapter(25, 1)},
};
// clang-format on

std::vector<Gpu> table() {
  std::vector<Gpu> gpus;
  for (const Row& r : kRows)
    gpus.push_back({r.name, r.alias, r.device, r.tensor * kTera, r.tf32 * kTera, r.f32 * kTera,
                    r.memory_rate * kGiga, r.gib, r.multiprocessors, r.bf16,
                    Link{r.inside * kGiga, kInside}, Link{r.outside * kGiga, kOutside}});
  return gpus;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

}  // namespace

DType plan_dtype(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "fp16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  throw UsageError(fmt::format("--dtype {}: expected f32, fp16 or bf16", name));
}

const char* name_of(DType dtype) {
  return dtype == DType::kF32 ? "f32" : dtype == DType::kF16 ? "fp16" : "bf16";
}

const std::vector<Gpu>& known_gpus() {
  static const std::vector<Gpu> gpus = table();
  return gpus;
}

const Gpu& gpu_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Gpu& g : known_gpus()) {
    if (g.name == lower(name)) return g;
    if (!g.alias.empty() && g.alias == lower(name)) return g;
    names.push_back(g.alias.empty() ? g.name : fmt::format("{} ({})", g.name, g.alias));
  }
  throw UsageError(fmt::format("--gpu {}: unknown; known are {}", name, fmt::join(names, ", ")));
}

const Gpu* gpu_of_device(const std::string& device) {
  for (const Gpu& g : known_gpus())
    if (device == g.device)
      return &g;  // whole names: "NVIDIA H200 NVL" and "… RTX 3090 Ti" are other boards
  return nullptr;
}

std::optional<Peak> device_peak(const std::string& device, DType dtype) {
  const Gpu* gpu = gpu_of_device(device);
  const double peak = gpu ? peak_flops(*gpu, dtype) : 0;
  if (peak == 0) return std::nullopt;
  return Peak{peak,
              fmt::format("{:.4g} TFLOP/s {} of {}", peak / kTera, name_of(dtype), gpu->name)};
}

double peak_flops(const Gpu& gpu, DType dtype) {
  if (dtype == DType::kF32) return gpu.f32_flops;
  return dtype == DType::kBF16 && !gpu.bf16 ? 0 : gpu.tensor_flops;
}

}  // namespace mome
