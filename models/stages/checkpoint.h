// Checkpoints: a model's weights as safetensors under the official VLMo names, and beside them a sidecar
// with what a run needs to go on exactly where it stopped.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "models/mome/model.h"
#include "runtime/optim/optimizer.h"

namespace mome {

struct LoadReport {
  std::vector<std::string> fresh;   // parameters of the model that the file lacks: they keep their values
  std::vector<std::string> unused;  // tensors of the file that the model has no place for
};

/// Writes the weights (f32), atomically, from whatever device they are on. `average`: the moving average instead of the last values.
/// The model's shape goes into the metadata, so that a checkpoint can be used without its recipe.
void save_weights(const MomeModel& model, const std::string& path, bool average, std::map<std::string, std::string> metadata);

/// Reads the weights. Of a longer table of text positions the first rows are taken. Any other tensor of another shape is an
/// Error that names file, tensor and both shapes.
LoadReport load_weights(MomeModel& model, const std::string& path);

/// The model that a checkpoint of this program describes in its metadata; Error if it has none.
std::unique_ptr<MomeModel> open_checkpoint(const std::string& path);

/// Resume points of a stage: DIR/step-N.safetensors (weights) and DIR/step-N.state.safetensors (moments, moving
/// average, the optimiser's progress). The pair counts only when both are whole; older pairs are removed after a new one is.
void save_resume_point(const MomeModel& model, const std::string& directory, int64_t step, const std::map<std::string, std::string>& metadata,
                       const OptimizerProgress& progress);

/// Loads the newest whole pair and returns its step; -1 if there is none. Broken pairs are skipped and
/// named in `problems`. `metadata` must agree with the file's in every key it has (else Error: another recipe). A file without
/// the optimiser's progress: as many steps were taken as the step's number says, the loss scale is the start's.
int64_t load_resume_point(MomeModel& model, const std::string& directory, const std::map<std::string, std::string>& metadata,
                          std::vector<std::string>& problems, OptimizerProgress& progress);

}  // namespace mome
