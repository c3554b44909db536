// The samples of one tar shard (Aizman et al., "High Performance I/O for Large Scale Deep
// Learning", 2019): members that share a path up to the basename's first dot are one sample:
// KEY.jpg with KEY.txt or KEY.json.
#pragma once
#include <string>
#include <vector>

#include "runtime/data/read_bytes.h"
#include "runtime/data/record.h"

namespace mome {

struct ShardSample {
  Record record;        // its split and image_id are not set
  std::string split;    // as the shard says
  std::string problem;  // why it cannot be used; empty if it can
};

/// All samples of `file`, broken ones too, in order; `shard` names it. Headers and texts are read,
/// images not. Throws Error, naming shard and offset, where the archive is broken (index_tar).
std::vector<ShardSample> read_shard(const RandomFile& file, const std::string& shard);

}  // namespace mome
