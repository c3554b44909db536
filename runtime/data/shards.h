// Names of tar shards as WebDataset writes them: "cc3m-{0000..0331}.tar", "{a,b}.tar",
// "a.tar,b.tar".
#pragma once
#include <string>
#include <vector>

namespace mome {

/// Whether a source names tar shards.
bool is_shard_source(const std::string& source);

/// The files a source names, in order: brace ranges (padded with zeros as their first number is),
/// brace lists, several of them as a product, and commas between names. Throws Error for a brace
/// that does not close, a range that is not two rising numbers, or more than a million names.
std::vector<std::string> expand_shards(const std::string& source);

}  // namespace mome
