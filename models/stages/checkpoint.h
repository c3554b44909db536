// Checkpoints: a model's weights as safetensors under the official VLMo names, and beside them a sidecar
// with what a run needs to go on exactly where it stopped.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "models/checkpoints/keys.h"
#include "models/mome/model.h"
#include "runtime/optim/optimizer.h"

namespace mome {

struct LoadReport {
  std::vector<std::string> fresh;    // parameters of the model that the file lacks: they keep their values
  std::vector<std::string> unused;   // tensors of the file that the model has no place for
  std::vector<std::string> resized;  // "NAME: [shape in the file] to [shape in the model]"
};

/// Writes the weights (f32), atomically, from whatever device they are on. `average`: the moving average instead of the last values.
/// The model's shape goes into the metadata, so that a checkpoint can be used without its recipe.
void save_weights(const MomeModel& model, const std::string& path, bool average, std::map<std::string, std::string> metadata);

/// Starts a model (a next stage, a fine-tuning) from a file of any kind that read_tensors knows: of this program, the official
/// code or BEiT; PyTorch's or safetensors; any dtype of floats. Parameters that the file lacks keep their values if their names
/// match a pattern of `may_be_fresh`. Positions of another image size, longer text positions and the third type follow
/// (fit_tensors). Errors: of the file; listed in full: parameters that are missing (then `hint` ends the message), tensors of
/// another shape.
LoadReport load_weights(MomeModel& model, const std::string& path, const MayBeMissing& may_be_fresh = {"*"},
                        const std::string& hint = "");

struct OpenOptions {
  int64_t heads = 0;        // where the file cannot say (infer_shape)
  int64_t image_size = 0;   // pixels of a side, text_length tokens: other than the file's, as `mome convert` changes them
  int64_t text_length = 0;
  DType dtype = DType::kF32;
  Device* device = &Device::host();
};

/// The model that a file describes: by this program's metadata, else by its tensors' names and shapes (infer_shape). The same
/// files as for load_weights. Errors: of the file; parameters that are missing, tensors of another shape (listed in full).
/// For use, not for training: on the CPU the parameters of the model's dtype are views of the mapped file (adopt_tensors), so
/// that opening reads no more than its header, whatever its size. The file may be replaced (renamed over) or removed while the
/// model lives, as this program does, but must not be written in place.
std::unique_ptr<MomeModel> open_checkpoint(const std::string& path, const OpenOptions& options = {}, LoadReport* report = nullptr);

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
