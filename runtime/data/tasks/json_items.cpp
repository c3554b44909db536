#include "runtime/data/tasks/json_items.h"

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"

namespace mome {
using nlohmann::json;
namespace {

// Collects the keys of the outermost object; stops the parser by returning false.
class KeyReader : public json::json_sax_t {
 public:
  explicit KeyReader(const std::set<std::string>& stop_at) : stop_at_(stop_at) {}

  bool null() override { return depth_ > 0; }
  bool boolean(bool) override { return depth_ > 0; }
  bool number_integer(int64_t) override { return depth_ > 0; }
  bool number_unsigned(uint64_t) override { return depth_ > 0; }
  bool number_float(double, const std::string&) override { return depth_ > 0; }
  bool string(std::string&) override { return depth_ > 0; }
  bool binary(json::binary_t&) override { return depth_ > 0; }
  bool start_object(size_t) override { return ++depth_ > 0; }
  bool end_object() override { return --depth_ > 0; }
  bool start_array(size_t) override { return depth_++ > 0; }  // a list, not an object
  bool end_array() override { return --depth_ > 0; }
  bool key(std::string& name) override {
    if (depth_ > 1) return true;
    keys.insert(name);
    return !stop_at_.contains(name);
  }
  bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

  std::set<std::string> keys;

 private:
  const std::set<std::string>& stop_at_;
  int depth_ = 0;
};

}  // namespace

json parse_items(const std::string& text, const std::set<std::string>& lists,
                 const std::function<void(const std::string&, int64_t, const json&)>& item) {
  std::string list;  // the list we are in, or the last key
  bool inside = false;
  int64_t index = 0;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    using Event = json::parse_event_t;
    if (depth == 1 && event == Event::key) list = value.get_ref<const std::string&>();
    if (depth == 1 && event == Event::array_start) {
      inside = lists.contains(list);
      index = 0;
    }
    if (depth == 1 && event == Event::array_end) inside = false;
    const bool ends =
        event == Event::object_end || event == Event::array_end || event == Event::value;
    if (!inside || depth != 2 || !ends) return true;
    item(list, index++, value);
    return false;
  };
  try {
    return json::parse(text, callback);
  } catch (const json::exception& e) {
    throw Error(json_message(e.what()));
  }
}

std::set<std::string> first_keys(const std::string& text, const std::set<std::string>& stop_at) {
  KeyReader reader(stop_at);
  json::sax_parse(text, &reader, json::input_format_t::json, /*strict=*/false);
  return reader.keys;
}

}  // namespace mome
