// From a published checkpoint, or one of this program, to a safetensors file under VLMo's names.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/keys.h"
#include "models/checkpoints/shape.h"
#include "models/checkpoints/tensors.h"

namespace mome {

struct ConvertOptions {
  std::string from = "auto";   ///< names of the input: "beit", "vlmo", or by what is there
  int64_t image_size = 0;      ///< pixels of a side; 0: as in the file
  int64_t text_length = 0;     ///< tokens; 0: as in the file
  int64_t heads = 0;           ///< where the file cannot say (see infer_shape)
  bool index_buffers = false;  ///< write the official code's index tensors
  std::string dtype = "";      ///< "F32", "F16" or "BF16" for all floats; "": as in the file
  bool allow_missing = false;
};

struct ConvertReport {
  bool beit = false;
  ModelShape shape;                  ///< of the result
  std::vector<std::string> dropped;  ///< of the input: no tensors, or VLMo has no use for them
  KeyReport keys;                    ///< of the result; `missing` will start fresh
};

/// Changes the tensors in place and puts the model's description into their metadata. Of a BEiT
/// file the parameters that BEiT does not have may always be missing. Errors name the tensor, or
/// list all that do not fit (require_keys); nothing is written.
ConvertReport convert_checkpoint(NamedTensors& tensors, const ConvertOptions& options);

/// Writes the tensors as a safetensors file, atomically.
void write_tensors(const NamedTensors& tensors, const std::string& path);

}  // namespace mome
