#include "runtime/data/json_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/trim.h"

namespace mome {
using nlohmann::json;

std::string string_field(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return {};
  if (!it->is_string()) fail("\"{}\" is of type {}; expected a string", name, it->type_name());
  return trim(it->get_ref<const std::string&>());
}

std::vector<std::string> list_field(const json& object, const char* name) {
  std::vector<std::string> out;
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return out;
  if (!it->is_array())
    fail("\"{}\" is of type {}; expected a list of strings", name, it->type_name());
  for (const json& item : *it) {
    if (!item.is_string()) {
      fail("\"{}\" holds a value of type {}; expected strings alone", name, item.type_name());
    }
    std::string text = trim(item.get_ref<const std::string&>());
    if (!text.empty()) out.push_back(std::move(text));
  }
  return out;
}

int64_t int_field(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) fail("no \"{}\"; expected a whole number", name);
  if (!it->is_number_integer()) {
    fail("\"{}\" is {}; expected a whole number", name,
         it->dump(-1, ' ', true, json::error_handler_t::replace));
  }
  return it->get<int64_t>();
}

std::string json_message(const std::string& what) {
  const size_t tag = what.find("] ");
  return tag == std::string::npos ? what : what.substr(tag + 2);
}

json parse_json(const std::string& text, const std::vector<std::string>& drop) {
  try {
    if (drop.empty()) return json::parse(text);
    return json::parse(text, [&](int, json::parse_event_t event, json& key) {
      return event != json::parse_event_t::key ||
             std::find(drop.begin(), drop.end(), key.get_ref<const std::string&>()) == drop.end();
    });
  } catch (const json::exception& e) {
    throw Error(json_message(e.what()));
  }
}

}  // namespace mome
