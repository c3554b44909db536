// Fields of a record as JSON: shared by JSON lines and the .json members of WebDataset shards.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/data/record.h"

namespace mome {

/// The string field `name`, or "" if there is none. Throws Error ("\"image\" is a number; expected
/// a string") otherwise; the caller puts file and place before it.
std::string string_field(const nlohmann::json& object, const char* name);

/// The field `name`, a list of strings, trimmed and without blank ones; empty if there is none.
/// Throws Error likewise.
std::vector<std::string> list_field(const nlohmann::json& object, const char* name);

/// The field `name`, a whole number. Throws Error likewise, and if there is none.
int64_t int_field(const nlohmann::json& object, const char* name);

/// What a json::exception says, without its tag ("[json.exception.parse_error.101] ").
std::string json_message(const std::string& what);

/// Parses JSON text. Throws Error that says line, column and what was expected. `drop` names keys
/// whose values are skipped while parsing: Karpathy's token lists are most of its 144 MB.
nlohmann::json parse_json(const std::string& text, const std::vector<std::string>& drop = {});

}  // namespace mome
