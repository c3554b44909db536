// Features of a data set's pictures and texts with the records that they belong to: what `mome
// embed` keeps in a file and what `mome search` looks through.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tools/retriever.h"

namespace mome {

struct FeatureIndex {
  Dataset dataset;
  std::vector<float> images, texts;                // [N, D] and [M, D]
  std::vector<int32_t> image_record, text_record;  // [N] and [M]
};

/// Embeds all pictures, all captions, or both, with a line of progress on standard error. At most
/// max_bad of the pictures may be broken (EvalReader).
FeatureIndex make_index(Retriever& r, Dataset dataset, bool images, bool texts, double max_bad);

/// Writes safetensors: image_features [N, D] F32, image_record [N] I64, text_features [M, D],
/// text_record [M]; in the metadata the records as JSON (paths absolute, members of archives by
/// name, offset and size), and the checkpoint's fingerprint.
void save_index(const std::string& path, const FeatureIndex& index, const Retriever& r, bool images,
                bool texts);

/// Reads the pictures' or the texts' side of such a file. Throws Error if the file is no index, if
/// another checkpoint made it, or if the checkpoint's features have another width.
FeatureIndex load_index(const std::string& path, const Retriever& r, bool images);

/// A hash of all that a checkpoint holds (metadata, names, shapes, values), as 16 hex digits; the
/// same for a copy under another name.
std::string checkpoint_fingerprint(const std::string& path);

}  // namespace mome
