// A file's tensors made to fit a model of another image size, text length or number of types: what
// starting a next stage or a fine-tuning changes.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"
#include "models/mome/model.h"

namespace mome {

/// Brings every tensor that can follow to the shape that the model has for it:
/// - `relative_position_bias_table` and `transformer.pos_embed` of another grid of patches are
///   resampled (positions.h);
/// - of a longer table of text positions the first rows are taken;
/// - a third row of image types (of the second image of NLVR2's pairs) is a copy of the second, as
///   published; a model of two types takes the first two.
/// Returns what changed: "NAME: [shape in the file] to [shape in the model]". Other shapes are left
/// as they are, for compare_keys to list. Errors as of resize_image_positions.
std::vector<std::string> fit_tensors(NamedTensors& tensors, const MomeModel& model);

}  // namespace mome
