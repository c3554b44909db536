// The training objectives of the three stages. Each call runs forward and backward for one batch, leaves
// gradients in the model's parameter set (added) and returns what to log.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/mome/model.h"
#include "models/stages/config.h"
#include "runtime/comm/communicator.h"
#include "runtime/data/batch.h"
#include "runtime/text/masking.h"
#include "runtime/text/wordpiece.h"

namespace mome {

class GradientSync;

/// Named figures of a step, in the order in which they are shown.
struct Metrics {
  std::vector<std::pair<std::string, double>> values;
  void add(std::string name, double value) { values.emplace_back(std::move(name), value); }
  double get(const std::string& name) const;  // NaN if absent
};

/// What an objective needs of the run around it.
struct StepContext {
  Arena& arena;
  uint64_t seed = 0, step = 0;
  bool train = true;  // false: losses only, nothing recorded
  const void* loss_scale = nullptr;  // a device scalar (float, for F64 double) that gradients are multiplied by; null: 1
  // The batch of a step, split evenly over ranks: losses are means over all of it and gradients this rank's part of the sum,
  // which `sync` makes. Metrics are of the whole batch, on every rank. Null: this process is alone.
  Communicator* ranks = nullptr;
  GradientSync* sync = nullptr;
};

/// uint8 images [n, S, S, 3] -> normalised patches [n*P, 3p^2] in the arena; n = B, or 2B of a batch of pairs of images.
Tensor batch_patches(const MomeModel& model, const Batch& batch, Arena& arena);

/// Stage 1: masked image modelling. A share of the patches (BEiT, Bao et al. 2022; chosen uniformly, not in
/// blocks) is replaced by the mask token; their normalised pixels are regressed (MAE, He et al. 2022, §3), or
/// with codes [B*P] (nearest codebook entry) classified.
Metrics image_step(MomeModel& model, const ImageStageConfig& stage, const Batch& batch, const std::vector<int32_t>* codes,
                   const StepContext& context);
/// The same with everything given: patches [B*P, 3p^2], masked [B*P].
Metrics image_losses(MomeModel& model, const ImageStageConfig& stage, Tensor patches, const std::vector<uint8_t>& masked,
                     const std::vector<int32_t>* codes, const StepContext& context);

/// Stage 2: masked language modelling on text alone, whole words (Devlin et al. 2019).
Metrics text_step(MomeModel& model, const TextStageConfig& stage, const Batch& batch, const WordPiece& words, const StepContext& context);
Metrics text_losses(MomeModel& model, const TextStageConfig& stage, const std::vector<MaskedText>& texts, const StepContext& context);

/// A recipe's `masking` as a rule; Error for an unknown word.
MaskRule mask_rule(const std::string& masking);
/// Error if one of the words or numbers that the objective reads of a stage is none that it knows.
void check_objective(const TextStageConfig& stage);
void check_objective(const PairStageConfig& stage);

/// Stage 3: contrast, matching with hard negatives and masked words (VLMo §3.2). Two forward passes: contrast
/// and masked words side by side, then all matching sequences. `fuse`: matching and masked words take part.
Metrics pair_step(MomeModel& model, const PairStageConfig& stage, const Batch& batch, const WordPiece& words, bool fuse,
                  const StepContext& context);
/// Pairs of this rank's batch that matching and masked words see. Error where the recipe's number does not split over ranks.
int64_t fused_pairs(const PairStageConfig& stage, const Batch& batch, bool fuse, int64_t ranks);
/// Hard negatives: an image for text b, a text for image b; -1: none could be drawn.
struct Negatives {
  std::vector<int32_t> image, text;
};
/// The same with everything given.
struct PairInputs {
  const Batch* batch = nullptr;    // texts and ids; its pixels are not read
  Tensor patches;                  // [B*P, 3p^2]
  std::vector<MaskedText> masked;  // of pairs 0, 1, …: those that masked words see
  int64_t matched = 0;             // pairs that matching sees
  Negatives negatives;             // empty: drawn from the contrast's similarities, over all ranks' pairs; given: of one rank
};
Metrics pair_losses(MomeModel& model, const PairStageConfig& stage, const PairInputs& inputs, const StepContext& context);

}  // namespace mome
