// What model a checkpoint holds: from its description if this program wrote it, else from the names
// and shapes of its tensors.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"
#include "models/mome/config.h"

namespace mome {

/// The metadata key under which a checkpoint describes its model.
inline constexpr const char* kModelKey = "mome.model";

/// Parameters whose shape follows from the image's size or the text's length.
inline constexpr const char* kTableName = "relative_position_bias_table";
inline constexpr const char* kImagePositionsName = "transformer.pos_embed";
inline constexpr const char* kTextPositionsName = "text_embeddings.position_embeddings.weight";

/// One row a type of sequence: text, image, and where a model sees pairs of images the second.
inline constexpr const char* kTypesName = "token_type_embeddings.weight";

struct ModelShape {
  ModelConfig config;
  ModelParts parts;
};

/// JSON text of the metadata: the fields of ModelConfig under "shape", ModelParts under "parts".
std::string describe(const ModelShape& shape);
/// Back again. Errors name the file.
ModelShape parse_description(const std::string& path, const std::string& text);

/// The published sizes "vlmo-base", "vlmo-base-plus" and "vlmo-large" (VLMo, section 4.2 and the
/// official models) at an image size. Error for another name, which lists these.
ModelConfig published_config(const std::string& name, int64_t image_size = 224);

/// The shape of a checkpoint under VLMo names. `heads`: 0, or what the file cannot say (a model
/// with absolute positions of an unpublished width). Errors name the tensor that is missing or of
/// an impossible shape.
ModelShape infer_shape(const NamedTensors& tensors, int64_t heads = 0);

/// Side of the patch grid from rows of the relative table (2w-1)^2 + 397; 0 if there is none.
int64_t grid_of_table_rows(int64_t rows);
/// Side of the patch grid from rows of the image's positions w^2 + 1; 0 if there is none.
int64_t grid_of_position_rows(int64_t rows);
/// Rows of the table behind its image part: 3 for the class token and 394 for text.
inline constexpr int64_t kTextTableRows = 397;

}  // namespace mome
