// Names by which a later run knows what an earlier one used: absolute paths, and fingerprints, 16
// hex digits of a hash of all that a thing holds.
#pragma once
#include <string>

#include "runtime/data/record.h"

namespace mome {

/// Absolute and without "." and "..": a file of another run is named from any folder. "" stays so.
std::string absolute_name(const std::string& file);

/// Of a checkpoint's metadata and its tensors' names, types, shapes and values; the same for a copy
/// under another name. Reads the whole file, on all cores.
std::string checkpoint_fingerprint(const std::string& path);

/// Of a data set's records in their order: keys, images (absolute paths) and captions.
std::string dataset_fingerprint(const Dataset& dataset);

}  // namespace mome
