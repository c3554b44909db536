// in.* from pictures and texts, as evaluation prepares them.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"
#include "models/mome/config.h"
#include "runtime/text/wordpiece.h"

namespace mome {

/// in.image F32 [B, 3, S, S]: resized to S x S whatever the picture's shape (bicubic), mean and
/// deviation 0.5; in.text_ids and in.text_masks I64 [B, T]: WordPiece, cut at and padded to the
/// model's longest text. As many pictures as texts. Error for a file that is no picture, and for a
/// vocabulary of another size than the model's.
NamedTensors prepare_inputs(const ModelConfig& config, const std::vector<std::string>& image_files,
                            const std::vector<std::string>& texts, const WordPiece& words,
                            const std::string& vocabulary_file);

}  // namespace mome
