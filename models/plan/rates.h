// How fast kernels run on a GPU: published figures for its generation, or a measured table of this
// machine.
#pragma once
#include <string>

#include "models/plan/flops.h"
#include "models/plan/machines.h"

namespace mome {

/// What computes: the published PyTorch code of a model, or this engine.
enum class Implementation : uint8_t { kOfficial, kMome };

struct Rates {
  double gemm = 0;  // FLOP/s of large products
  double attention_forward = 0,
         attention_backward = 0;  // FLOP/s, counted 4 and 10 a pair and unit of width
  double stream_forward = 0, stream_backward = 0;  // bytes/s of least traffic
  double launch = 0;  // s between two kernels when the host is the slower
  /// Of a step's wall time, the share that GPUs spend in kernels. The rest is what published runs
  /// lose around them: input, Python, stragglers, copies. This is the one constant that carries the
  /// fit to published runs.
  double wall_share = 1;
  std::string source;  // for people: where the figures come from
};

/// Share of wall time that published PyTorch runs of vision-language models spend in kernels:
/// geometric mean of what this model gives for OpenCLIP B/32 (773 samples/s a GPU on 128 A100-40),
/// OpenCLIP B/16 (332 on 176) and mmpretrain's ViT-B/16 (185 on 32 A100-80 without AMP), which lie
/// 25 % to both sides of it: tests/models/plan_test.cpp computes it. VLMo, ViLT and ALBEF are not
/// among them. Image models on one node lose less (DeiT-B on 8 V100, 252 images/s as remembered,
/// has 0.6).
inline constexpr double kPublishedWallShare = 0.39;

/// Figures of the GPU's generation; `tokens` of the longest sequence. UsageError if the GPU has no
/// such products (bf16 on V100).
Rates published_rates(const Gpu& gpu, DType dtype, Implementation implementation, int64_t tokens);

/// The same with what a CSV of tools/gpu_check.sh (bench/gpu/table.py) measured on this GPU in this
/// dtype in place of published figures: dense products, attention (its case of the nearest length),
/// and fused residual norms. Of rows measured twice the later counts. Errors name the file, the
/// line and the column; one without any row of this GPU and dtype says which it has.
Rates measured_rates(const std::string& csv, const Gpu& gpu, DType dtype, int64_t tokens);

/// Share of the GPU that a product [rows, in] x [in, out] keeps busy: its tiles over the
/// multiprocessors, of 128 x 128, or of 64 x 64 at 0.7 of the speed (half the reuse of operands); 1
/// from one full wave on.
double occupancy(double rows, double out, int64_t multiprocessors);

struct WorkTime {
  double products = 0, attention = 0, streams = 0;
  double forward = 0, backward = 0;  // products + attention + streams = forward + backward
  double total() const { return forward + backward; }
};
WorkTime time_of(const Work& work, const Rates& rates, const Gpu& gpu);

}  // namespace mome
