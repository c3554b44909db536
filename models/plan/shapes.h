// The models that the plan knows, as what a step of them computes on one GPU: published PyTorch
// implementations (padded, nothing pruned, every pass of every objective), and VLMo as this engine
// trains it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "models/plan/rates.h"

namespace mome {

/// What may differ from the published run.
struct ShapeOptions {
  int64_t image_size = 0, text_length = 0;  // 0: as published; the longest text in tokens
  int64_t text_tokens = 0;  // a text's real length, [CLS] and [SEP] included; 0: 12 (captions of
                            // COCO on average), in stage text 128
  DType dtype = DType::kF16;
  Stage stage = Stage::kPairs;
  Recompute recompute = Recompute::kNone;
};

struct PlannedModel {
  std::string name;
  Implementation implementation = Implementation::kOfficial;
  double parameters = 0, trained = 0;
  double momentum_copies = 0;  // parameters of a second model that follows the first (ALBEF)
  double optimizer_bytes = 0;  // moved per trained parameter
  double contrast_width = 0;   // features of an image and a text that ranks exchange, both ways of
                               // contrast together; 0: none
  double negative_bytes =
      0;  // an image and a text that matching's negatives fetch from other ranks
  bool gathers_all =
      false;  // negatives come from an all-gather of every rank's images, not by drawing first
  int64_t tokens = 0;  // of the longest sequence
  /// The passes that `local` samples of a global batch of `all` take on a GPU, in their order;
  /// backward follows each.
  std::function<std::vector<Work>(int64_t local, int64_t all)> passes;
  /// What accumulating gradients over micro-batches adds a micro-batch: contrast's features are
  /// made beforehand. Null: nothing.
  std::function<Work(int64_t local)> cached;
};

/// A published run, with which a prediction can be compared.
struct PublishedRun {
  std::string model, gpu;
  int64_t gpus, batch, steps;
  DType dtype;
  double days, days_high;  // a range where sources give one
  bool calibrates;         // the wall share comes from it: then it proves nothing
  std::string source;
};
const std::vector<PublishedRun>& published_runs();
/// Of that model; null if there is none.
const PublishedRun* published_run(const std::string& model);

/// The published implementation of vlmo-base, vlmo-base-plus, vlmo-large, vilt, albef, clip-b32,
/// clip-b16 or vit-b16; UsageError that lists these for another name, or for an option that the
/// model has not.
PlannedModel official_model(const std::string& name, const ShapeOptions& options);
/// VLMo as this engine trains it.
PlannedModel engine_model(const std::string& name, const ModelConfig& config,
                          const ShapeOptions& options);
/// Of a VLMo name at the options' image size and text length; the published text length of stage 2
/// is 196.
ModelConfig vlmo_config(const std::string& name, const ShapeOptions& options);
inline bool is_vlmo(const std::string& name) { return name.starts_with("vlmo-"); }

}  // namespace mome
