// Which pictures a model was never trained on, as the user names them.
#pragma once
#include <string>
#include <unordered_set>
#include <vector>

#include "runtime/data/dataset.h"

namespace mome {

/// Pictures by image_identity. Each source is a data set or, after a colon, one split of it:
/// "captions.jsonl:test". Throws UsageError for a source with several splits of which none is
/// named: some of its pictures were likely trained on; Error as open_dataset does.
std::unordered_set<std::string> unseen_pictures(const std::vector<std::string>& sources,
                                                const DatasetOptions& options);

}  // namespace mome
