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
  std::vector<std::string> mismatched;  ///< "NAME: [shape in the file], expected [shape]", or dtype
};

KeyReport compare_keys(const ParameterSet& parameters, const NamedTensors& tensors);

/// Patterns of names ('*': any characters) of parameters that a file need not have.
using MayBeMissing = std::vector<std::string>;

/// Error that lists every mismatched tensor, and every missing one that may not be; `hint` ends it
/// if parameters are missing.
void require_keys(const KeyReport& report, const std::string& path, const MayBeMissing& allowed,
                  const std::string& hint = "");
/// What the commands that have --allow-missing say.
inline constexpr const char* kAllowMissingHint =
    "--allow-missing goes on without the missing ones, which then start fresh";

/// Copies the file's tensors over the model's parameters, whatever device they are on, from any
/// dtype of floats, and refreshes the 16-bit copies; parameters that are missing keep their values.
/// Errors as of require_keys, before anything is changed.
KeyReport load_tensors(MomeModel& model, const NamedTensors& tensors, const MayBeMissing& allowed,
                       const std::string& hint = "");

/// The same for a model that is only read: on the CPU, a parameter whose dtype the file has, at an
/// aligned address, becomes a view of the file's bytes (ParameterSet::adopt) instead of a copy.
KeyReport adopt_tensors(MomeModel& model, const NamedTensors& tensors, const MayBeMissing& allowed,
                        const std::string& hint = "");

}  // namespace mome
