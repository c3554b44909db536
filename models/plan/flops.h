// What a training step computes, before any machine: its matrix products, its attention and the
// bytes of everything in between, of this engine from the rows that its layout packs
// (models/mome/layout.h), and the FLOPs that MFU counts.
//
// Letters: D width, F hidden, L blocks, V vocabulary, P patches, I = P + 1 image tokens, t tokens
// of a text. A product is 2 R K N FLOPs forward and as many for each gradient that it needs.
// Attention is 4 D a pair of query and key forward; backward 8 D by the count of MFU, 10 D by that
// of published kernel rates, which includes making the scores again.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/mome/config.h"
#include "runtime/data/batch.h"

namespace mome {

enum class Stage : uint8_t { kImage, kText, kPairs };
/// "image", "text" or "pairs"; UsageError for another word.
Stage stage_of(const std::string& name);
const char* name_of(Stage stage);

/// A linear layer: [rows, in] x [in, out].
struct Gemm {
  double rows = 0, in = 0, out = 0, times = 1;
  bool input_grad = true, weight_grad = true;  // which products backward runs
  bool recomputed = false;  // the forward product once more inside backward; MFU does not count it
  double flops() const { return 2 * rows * in * out * times; }
};

struct AttentionWork {
  double pairs = 0;  // of query and key, over all sequences and blocks
  double width = 0;  // D
  bool backward = true, recomputed = false;
};

/// One forward pass and its backward pass.
struct Work {
  std::vector<Gemm> gemms;
  std::vector<AttentionWork> attention;
  double stream_forward = 0, stream_backward = 0;  // bytes of norms, activations, residuals, losses
  double kernels = 0;                              // launches, forward and backward
  double saved = 0, scratch = 0;  // bytes kept for backward, and needed for a moment beside them
};

double gemm_flops(const Work& work);       // all products that run
double attention_flops(const Work& work);  // by the count of kernel rates: 4 forward, 10 backward
double model_flops(const Work& work);      // what MFU counts: nothing recomputed

/// The packed rows of one pass of this engine.
struct PassRows {
  double images = 0;    // distinct ones, embedded once
  double distinct = 0;  // embedded rows
  double lower = 0, upper = 0,
         read = 0;  // rows of blocks below the VL experts, from them on, and of the last one
  double lower_pairs = 0, upper_pairs = 0,
         read_pairs = 0;                  // pairs of query and key in one such block
  double mlm = 0, mim = 0, matched = 0;   // rows that the heads of words, patches and matching read
  double contrast = 0, contrast_all = 0;  // image-text pairs of this rank, and of all ranks
};
/// The passes of a step, in their order.
using StepRows = std::vector<PassRows>;

/// Stage 1: `masked` patches of each image are predicted.
StepRows image_rows(const ModelConfig& c, int64_t images, int64_t masked);
/// Stage 2: texts and how many tokens of each are masked; a text without any is left out, as the
/// objective does.
StepRows text_rows(const ModelConfig& c, std::span<const int32_t> lengths,
                   std::span<const int32_t> masked);
/// Stage 3: the texts of the batch's pairs, masked tokens of the first masked.size() of them (0:
/// that pair is left out), and the pairs that matching sees, cut into runs as
/// models/objectives/pairs.cpp cuts them. Which images and texts the drawn negatives repeat is not
/// known beforehand: every run counts each of the batch as embedded once and drawn texts as long as
/// the others, which is a percent or two off in a model of four blocks, and less in deeper ones.
/// `all`: pairs of all ranks that contrast sees; 0: this rank's.
StepRows pair_rows(const ModelConfig& c, std::span<const int32_t> lengths,
                   std::span<const int32_t> masked, int64_t matched, int64_t all = 0);
/// How many tokens of a text masking hides: the share of those between [CLS] and [SEP], at least
/// one.
int32_t expected_masks(int64_t tokens, double mask_rate);
/// The rows of a loader's batch. `mask_rate`: of patches or tokens; `fused`: pairs that masked
/// words and matching see in stage 3.
StepRows batch_rows(const ModelConfig& c, Stage stage, const Batch& batch, double mask_rate,
                    int64_t fused = 0);

enum class Recompute : uint8_t { kNone, kExperts, kBlocks };

/// One pass as this engine runs it: pruned to what is read, attention frozen in stage 2. `bytes` of
/// an activation.
Work engine_work(const ModelConfig& c, Stage stage, const PassRows& rows, double bytes,
                 Recompute recompute = Recompute::kNone);

/// Model FLOPs of a training step: what an MFU divides by time and peak.
double training_flops(const ModelConfig& c, Stage stage, const StepRows& rows);

/// Parameters of the model of a stage; `trained`: those that stage 2 does not freeze. They are the
/// engine's own counts.
int64_t parameter_count(const ModelConfig& c, Stage stage, bool trained = false);

}  // namespace mome
