// BEiT checkpoints under VLMo's names: how stage 1's weights start the later stages.
#pragma once
#include <string>
#include <vector>

#include "models/checkpoints/tensors.h"

namespace mome {

/// True if the tensors have BEiT's names: `blocks.0.mlp.fc1.weight`.
bool is_beit(const NamedTensors& tensors);

/// Renames every tensor: prefix `transformer.`, mlp -> mlp_imag, norm2 -> norm2_imag. The tables
/// `blocks.i.attn.relative_position_bias_table` [(2w-1)^2 + 3, H] become the first rows of one
/// `relative_position_bias_table` [(2w-1)^2 + 397, H L], side by side in the order of the blocks;
/// its other rows are zero. A table that all blocks share
/// (`rel_pos_bias.relative_position_bias_table` of files that were only pre-trained) is written to
/// every block's columns. Heads, fc_norm and index tensors are dropped; returns their names. Errors
/// name the tensor: a block without a table, tables of different shapes, rows of no square grid.
std::vector<std::string> import_beit(NamedTensors& tensors);

/// A file of any kind (read_tensors) under VLMo's names: a framework's prefixes are taken off, and
/// BEiT's names are imported. `dropped`: what import_beit returns; may be null.
NamedTensors read_under_vlmo_names(const std::string& path,
                                   std::vector<std::string>* dropped = nullptr, bool verify = false);

}  // namespace mome
