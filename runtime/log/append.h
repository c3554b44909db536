// Appending to logs so that every entry is there whole or not at all.
#pragma once
#include <string>
#include <string_view>

namespace mome {

/// Appends to the file behind `fd` (opened with O_APPEND). If not all of it can be written (a full
/// disk), what was is cut off again and an Error names the file and the reason.
void append_whole(int fd, const std::string& path, std::string_view bytes);

}  // namespace mome
