// The parameters and buffers of a VLMo checkpoint that depend on the image's size or the text's
// length: how they follow a change.
#pragma once
#include <cstdint>

#include "models/checkpoints/tensors.h"

namespace mome {

/// For another image size: resamples the image part of `relative_position_bias_table` by BEiT's
/// geometric scheme (its last 397 rows are copied) and `transformer.pos_embed` by bicubic
/// interpolation (its class row is copied), whichever are there; dtypes stay. `grid` and
/// `target`: patches of a side. Errors: another shape than the grid's; a table of a grid below 3.
void resize_image_positions(NamedTensors& tensors, int64_t grid, int64_t target);

/// For another longest text: the first rows of `text_embeddings.position_embeddings.weight`. More
/// rows than it has are zeros where the model has relative positions, which never reads them, and
/// an Error otherwise. Nothing to do if the table is absent or has `length` rows.
void resize_text_positions(NamedTensors& tensors, int64_t length);

/// Removes the index tensors, which follow from the sizes: relative_position_index and its like.
/// Returns the names.
std::vector<std::string> remove_index_buffers(NamedTensors& tensors);

/// What the official code wants beside the parameters before it changes the resolution or the
/// length: text_embeddings.position_ids [1, T], and for relative positions, with M = grid^2 + 1,
/// relative_position_index [M, M], text_relative_position_index [T, T] and
/// text_imag_relative_position_index [T + M, T + M] (I64). Those of a model without text have T = 0
/// and are only the first. Error if T > 196 and positions are relative.
void add_index_buffers(NamedTensors& tensors, bool relative, int64_t grid, int64_t text_length);

}  // namespace mome
