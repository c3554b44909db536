// Names of tar shards as WebDataset writes them: "cc3m-{0000..0331}.tar", "{a,b}.tar",
// "a.tar,b.tar", "pipe:aws s3 cp s3://bucket/{0000..0331}.tar -", and several of these joined by
// "::".
#pragma once
#include <string>
#include <vector>

namespace mome {

/// Whether a source names tar shards.
bool is_shard_source(const std::string& source);

/// The shards that a source names, in order: files, and "pipe:COMMAND" for those that a command
/// prints. Brace ranges (padded with zeros as their first number is), brace lists, several of them
/// as a product; "::" between sources, commas between names of files. In a command braces that are
/// neither a range of numbers nor a list without white space stay as they are: they are the
/// shell's. Throws Error for a name that does not end in .tar, a brace in it that does not close, a
/// range that is not two rising numbers, an empty command, or more than a million names.
std::vector<std::string> expand_shards(const std::string& source);

/// Whether a shard is printed by a command, and which one.
bool is_piped(const std::string& shard);
std::string piped_command(const std::string& shard);

}  // namespace mome
