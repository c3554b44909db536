#include "models/plan/rates.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <span>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kTera = 1e12;

// Products at training shapes. V100: 90 TFLOP/s of 125 in a layer (cuBLAS alone reaches 95 to
// 100), 14.0 of 15.7 in f32 (lablup/mlxcel 1654); A100 230 of 312 ("80 % typical", DCGM issue 40);
// H100 620 of 989. RTX 3090 and TF32: A100's fraction.
double gemm_fraction(const Gpu& gpu, bool f32) {
  if (gpu.tf32_flops == 0) return f32 ? 14.0 / 15.7 : 90.0 / 125;
  return gpu.name.starts_with("h") ? 620.0 / 989 : 230.0 / 312;
}

// Attention as matmul, softmax, matmul (PyTorch's eager form) at N = 197, d = 64 on V100: 9.7
// TFLOP/s forward, 10.8 backward in 16 bits (xformers' tables). It is bound by the scores' traffic:
// scaled by the memory's rate for other GPUs, half of it in f32. Longer sequences do better in
// xformers' tables (17 at 256); VLMo's code makes its scores and adds its bias in float, so that is
// not granted.
constexpr double kEagerForward = 9.7e12 / 900e9, kEagerBackward = 10.8e12 / 900e9;

// Fused attention at d = 64 without a bias, the best published figures (TFLOP/s, counted 4 and 10)
// by length. V100: CUTLASS in xformers' tables, PyTorch's eager backward where that is faster.
// A100: FlashAttention at 197; FlashAttention-2 at 512 and 1024 is given for both passes together
// (132, 153), as H100's (215, 254) beside the forward pass (282, 306): a forward pass half as fast
// again as backward, as at 197, where nothing else is known. Other GPUs: A100's, by their peak.
struct Fused {
  int64_t tokens;
  double forward, backward;
};
constexpr Fused kV100[] = {
    {128, 25.6, 14.5}, {197, 19.3, 10.8}, {256, 30.9, 18.2}, {512, 33.0, 19.9}, {1024, 34.9, 21.7}};
constexpr Fused kA100[] = {{197, 66, 44}, {512, 179, 119}, {1024, 207, 138}};
constexpr Fused kH100[] = {{512, 282, 196}, {1024, 306, 238}};

Fused fused_attention(const Gpu& gpu, int64_t tokens) {
  const std::span<const Fused> table = gpu.name.starts_with("v")   ? std::span<const Fused>(kV100)
                                       : gpu.name.starts_with("h") ? std::span<const Fused>(kH100)
                                                                   : std::span<const Fused>(kA100);
  const Fused& nearest =
      *std::min_element(table.begin(), table.end(), [&](const Fused& a, const Fused& b) {
        return std::abs(a.tokens - tokens) < std::abs(b.tokens - tokens);
      });
  const double scale = kTera * (gpu.name.starts_with("rtx") ? gpu.tensor_flops / (312 * kTera) : 1);
  return {nearest.tokens, nearest.forward * scale, nearest.backward * scale};
}

// Norms and activations over the memory's peak: 81 % forward, 75 % backward (apex FastLayerNorm on
// A100, apex PR 1037).
constexpr double kStreamForward = 0.81, kStreamBackward = 0.75;
// Kernels that the host cannot issue faster: PyTorch's eager mode about 10 µs an operation, a C++
// host about 3. Assumed; they show only at a few samples a GPU.
constexpr double kLaunchPython = 10e-6, kLaunchCpp = 3e-6;

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      out.emplace_back();
    else if (c != '\r')
      out.back() += c;
  }
  return out;
}

}  // namespace

Rates published_rates(const Gpu& gpu, DType dtype, Implementation implementation, int64_t tokens) {
  const bool official = implementation == Implementation::kOfficial, f32 = dtype == DType::kF32;
  double peak = peak_flops(gpu, dtype);
  if (peak == 0)
    throw UsageError(
        fmt::format("--dtype bf16: {} has no bf16 products; fp16 is for it", gpu.name));
  // PyTorch up to 1.11 multiplies in TF32 where there is one; this engine's f32 is f32.
  if (f32 && official && gpu.tf32_flops > 0) peak = gpu.tf32_flops;
  Rates r;
  r.gemm = peak * gemm_fraction(gpu, f32);
  r.stream_forward = kStreamForward * gpu.memory_rate;
  r.stream_backward = kStreamBackward * gpu.memory_rate;
  if (official) {
    r.attention_forward = kEagerForward * gpu.memory_rate * (f32 ? 0.5 : 1);
    r.attention_backward = kEagerBackward * gpu.memory_rate * (f32 ? 0.5 : 1);
    r.launch = kLaunchPython;
    r.wall_share = kPublishedWallShare;
    r.source = fmt::format(
        "published figures; {:.0f} % of the time outside kernels, as published PyTorch runs have "
        "it",
        100 * (1 - r.wall_share));
  } else {
    const Fused fused = fused_attention(gpu, tokens);
    // Without tensor cores attention runs as fast as the products around it at most.
    r.attention_forward = f32 ? std::min(fused.forward, r.gemm) : fused.forward;
    r.attention_backward = f32 ? std::min(fused.backward, r.gemm) : fused.backward;
    r.launch = kLaunchCpp;
    r.source =
        "best published kernels of this GPU's generation, nothing lost outside kernels; --kernels "
        "takes measured ones";
  }
  return r;
}

Rates measured_rates(const std::string& csv, const Gpu& gpu, DType dtype, int64_t tokens) {
  Rates r = published_rates(gpu, dtype, Implementation::kMome, tokens);
  std::ifstream in(csv);
  if (!in) fail("{}: cannot be read; expected a kernel table of tools/gpu_check.sh", csv);
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> head = fields_of(line);
  std::map<std::string, size_t> column;
  for (size_t i = 0; i < head.size(); ++i) column[head[i]] = i;
  for (const char* need : {"gpu", "part", "case", "pass", "dtype", "rate", "unit"})
    if (!column.count(need))
      fail("{}: line 1: no column \"{}\"; expected a kernel table of tools/gpu_check.sh", csv,
           need);
  const char* wanted = name_of(dtype);
  std::set<std::string> others;
  std::map<std::string, double> found;  // "part case pass" -> rate
  for (int number = 2; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const std::vector<std::string> f = fields_of(line);
    if (f.size() != head.size())
      fail("{}: line {}: {} fields, expected {}", csv, number, f.size(), head.size());
    const std::string &device = f[column["gpu"]], &type = f[column["dtype"]];
    if (device != gpu.device || type != wanted) {
      others.insert(fmt::format("{} in {}", device, type));
      continue;
    }
    char* end = nullptr;
    const std::string& text = f[column["rate"]];
    const double rate = std::strtod(text.c_str(), &end);
    if (text.empty() || *end || !(rate > 0))
      fail("{}: line {}: rate \"{}\" is no positive number", csv, number, text);
    const std::string& unit = f[column["unit"]];
    const double scale = unit == "TFLOP/s" ? 1e12
                         : unit == "GB/s"  ? 1e9
                                           : 0;  // pairs/s of whole steps are no kernel's
    if (scale > 0)
      found[f[column["part"]] + " " + f[column["case"]] + " " + f[column["pass"]]] = rate * scale;
  }
  if (found.empty())
    fail("{}: no kernel of {} in {}; it has {}", csv, gpu.device, wanted,
         others.empty() ? "none" : fmt::format("{}", fmt::join(others, ", ")));

  std::vector<std::string> taken;
  double dense = 0;
  int64_t nearest = -1;
  for (const auto& [key, rate] : found) {
    if (key.starts_with("attention dense") || key.starts_with("experts dense"))
      dense = std::max(dense, rate);
    int64_t n = 0;
    char pass[16] = {};
    if (std::sscanf(key.c_str(), "attention N%ld %15s", &n, pass) == 2 &&
        (nearest < 0 || std::abs(n - tokens) < std::abs(nearest - tokens)))
      nearest = n;
  }
  if (dense > 0) r.gemm = dense, taken.push_back("products");
  const auto take = [&](const std::string& key, double& to) {
    const auto it = found.find(key);
    if (it != found.end()) to = it->second;
    return it != found.end();
  };
  const std::string attention = fmt::format("attention N{} ", nearest);
  if (take(attention + "forward", r.attention_forward) |
      take(attention + "backward", r.attention_backward))
    taken.push_back(fmt::format("attention (N{})", nearest));
  bool norms = false;
  for (const char* rows : {"R12608", "R15168"})
    norms |= take(fmt::format("norms residual_norm {} forward", rows), r.stream_forward) |
             take(fmt::format("norms residual_norm {} backward", rows), r.stream_backward);
  if (norms) taken.push_back("norms");
  if (taken.empty())
    fail("{}: no dense product, attention or residual_norm of {} in {}", csv, gpu.device, wanted);
  r.source = fmt::format("{}: {}{}", csv, fmt::join(taken, ", "),
                         taken.size() < 3 ? "; the others as published" : "");
  return r;
}

double occupancy(double rows, double out, int64_t multiprocessors) {
  const auto tiles = [&](double side) { return std::ceil(rows / side) * std::ceil(out / side); };
  const double n = double(multiprocessors);
  return std::max(std::min(1.0, tiles(128) / n), 0.7 * std::min(1.0, tiles(64) / n));
}

WorkTime time_of(const Work& work, const Rates& r, const Gpu& gpu) {
  WorkTime t;
  for (const Gemm& g : work.gemms) {
    if (g.flops() <= 0) continue;
    const double forward = g.flops() / (r.gemm * occupancy(g.rows, g.out, gpu.multiprocessors));
    double backward = 0;
    if (g.input_grad)
      backward += g.flops() / (r.gemm * occupancy(g.rows, g.in, gpu.multiprocessors));
    // A weight's gradient sums over rows: the library cuts the sum where there are too few tiles.
    if (g.weight_grad) backward += g.flops() / r.gemm;
    t.products += forward + backward;
    (g.recomputed ? t.backward : t.forward) += forward;
    t.backward += backward;
  }
  for (const AttentionWork& a : work.attention) {
    const double forward = 4 * a.pairs * a.width / r.attention_forward,
                 backward = a.backward ? 10 * a.pairs * a.width / r.attention_backward : 0;
    t.attention += forward + backward;
    (a.recomputed ? t.backward : t.forward) += forward;
    t.backward += backward;
  }
  t.streams = work.stream_forward / r.stream_forward + work.stream_backward / r.stream_backward;
  t.forward += work.stream_forward / r.stream_forward;
  t.backward += work.stream_backward / r.stream_backward;
  return t;
}

}  // namespace mome
