// Which tensors of a file have their place in a model: nothing is passed over in silence.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"
#include "models/mome/model.h"

namespace mome {

struct KeyReport {
  std::vector<std::string> missing;   ///< parameters of the model that the file lacks
  std::vector<std::string> official;  ///< tensors of official files that this model has no part for
  std::vector<std::string> unexpected;  ///< tensors that neither knows
  std::vector<std::string> mismatched;  ///< "NAME: [shape in the file], expected [shape]"
};

/// A VLMo fine-tuned on NLVR2 has a third row of image types; a table of three rows fits one of two
/// if the file has that task's classifier.
KeyReport compare_keys(const ParameterSet& parameters, const NamedTensors& tensors);

/// Error that lists every mismatched tensor, and every missing one unless they are allowed.
void require_keys(const KeyReport& report, const std::string& path, bool allow_missing);

/// Copies the file's tensors over the model's parameters, from any dtype of floats; parameters that
/// are missing keep their values. Errors as of require_keys.
KeyReport load_tensors(MomeModel& model, const NamedTensors& tensors, bool allow_missing);

}  // namespace mome
