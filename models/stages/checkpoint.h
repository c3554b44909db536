// Checkpoints: a model's weights as safetensors under the official VLMo names.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "models/checkpoints/keys.h"
#include "models/mome/model.h"

namespace mome {

struct LoadReport {
  std::vector<std::string> fresh;    // parameters of the model that the file lacks: they keep their values
  std::vector<std::string> unused;   // tensors of the file that the model has no place for
  std::vector<std::string> resized;  // "NAME: [shape in the file] to [shape in the model]"
};

/// Writes the weights (f32), atomically and with a checksum, from whatever device they are on. `average`: the moving average
/// instead of the last values. The model's shape goes into the metadata, so that a checkpoint can be used without its recipe.
void save_weights(const MomeModel& model, const std::string& path, bool average, const std::map<std::string, std::string>& metadata);
/// The dtype of a set's values as safetensors names it.
inline const char* dtype_name(const ParameterSet& p) { return p.dtype() == DType::kF32 ? "F32" : "F64"; }
/// What the metadata of a file of weights are besides those given: the model's shape, and its format for other programs.
std::map<std::string, std::string> checkpoint_metadata(const MomeModel& model, std::map<std::string, std::string> metadata);

/// Starts a model (a next stage, a fine-tuning) from a file of any kind that read_tensors knows: of this program, the official
/// code or BEiT; PyTorch's or safetensors; any dtype of floats. Parameters that the file lacks keep their values if their names
/// match a pattern of `may_be_fresh`. Positions of another image size, longer text positions and the third type follow
/// (fit_tensors). All of the file is read, and its checksums compared. Errors: of the file; listed in full: parameters that are missing (then `hint` ends the message), tensors of
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

}  // namespace mome
