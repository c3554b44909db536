// Big JSON documents, an item at a time: VQAv2's annotations (4.4 million answers) would take a
// gigabyte as one tree.
#pragma once
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

namespace mome {

/// Calls item(list, index, value) for each element of each top-level list of the object `text`
/// whose name is in `lists`. Returns the object with those lists empty. What item throws passes
/// through. Throws Error that says line and column where the text is not JSON.
nlohmann::json parse_items(
    const std::string& text, const std::set<std::string>& lists,
    const std::function<void(const std::string&, int64_t, const nlohmann::json&)>& item);

/// The keys of the object that `text` starts with, as far as they can be read: up to its end, to
/// the first mistake, or to a key in `stop_at` (included). Empty if it starts with no object. What
/// follows the object is not looked at.
std::set<std::string> first_keys(const std::string& text, const std::set<std::string>& stop_at);

}  // namespace mome
