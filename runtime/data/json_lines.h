// JSON lines: one JSON object a line.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mome {

/// Calls item(object, place) for each line that is not blank; `place` is "FILE: line 3". A line
/// that is not a JSON object, or for which item throws Error, goes to bad("FILE: line 3: what").
/// Throws Error if the file cannot be read.
void read_json_lines(const std::string& file,
                     const std::function<void(const nlohmann::json&, const std::string&)>& item,
                     const std::function<void(std::string)>& bad);

}  // namespace mome
