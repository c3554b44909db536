// Which GPUs a list of architectures, in CMake's form (or with commas), serves:
// "75-real,80,120-virtual".
#pragma once
#include <cctype>
#include <string>
#include <string_view>

namespace mome::cuda {

/// Whether code for `list` runs on a GPU of `compute_capability` (86 for 8.6): machine code (XX or
/// XX-real) runs on its own major version from its minor version on, PTX (XX or XX-virtual) on
/// everything newer; a suffix a or f (90a) ties to that very GPU. True for a list that cannot tell
/// (empty, "native", "all").
inline bool runs_on(std::string_view list, int compute_capability) {
  if (list.empty() || !std::isdigit(static_cast<unsigned char>(list[0]))) return true;
  while (!list.empty()) {
    const size_t end = list.find_first_of(";,");
    const std::string_view entry = list.substr(0, end);
    list = end == std::string_view::npos ? std::string_view{} : list.substr(end + 1);
    int version = 0;
    size_t i = 0;
    for (; i < entry.size() && std::isdigit(static_cast<unsigned char>(entry[i])); ++i)
      version = version * 10 + (entry[i] - '0');
    if (i == 0) continue;
    const std::string_view kind = entry.substr(i);
    if (kind.starts_with('a') || kind.starts_with('f')) {
      if (version == compute_capability) return true;
      continue;
    }
    const bool machine = kind != "-virtual", ptx = kind != "-real";
    if (machine && version / 10 == compute_capability / 10 && version <= compute_capability)
      return true;
    if (ptx && version <= compute_capability) return true;
  }
  return false;
}

}  // namespace mome::cuda
